"""What the runtime leans on in Pykka beyond its documented face; a release that changes it must fail here first."""

from __future__ import annotations

from typing import Any

import pykka

from tests.running import run_actor
from voyagent.actors.runtime.actor import Actor
from voyagent.actors.runtime.mailbox import Inbox
from voyagent.actors.runtime.reply import Reply


class Shelf:
    """An inbox that keeps what Pykka puts into it."""

    def __init__(self) -> None:
        self.envelopes: list[Any] = []

    def put(self, envelope: Any) -> None:
        self.envelopes.append(envelope)

    def get(self) -> Any:
        return self.envelopes.pop(0)

    def empty(self) -> bool:
        return not self.envelopes


class Promise(pykka.Future[Any]):
    """A future made by the hook."""

    def set(self, value: Any = None) -> None:
        self.value = value

    def set_exception(self, exc_info: Any = None) -> None:
        self.value = exc_info


class Probe(pykka.Actor):
    """An actor made through the hooks alone."""

    looped = 0

    @staticmethod
    def _create_actor_inbox() -> Any:
        return Shelf()

    @staticmethod
    def _create_future() -> Any:
        return Promise()

    def _start_actor_loop(self) -> None:
        self.looped += 1


def shelf(probe: Probe) -> Shelf:
    inbox = probe.actor_inbox
    assert isinstance(inbox, Shelf)
    return inbox


def test_the_hooks_make_inbox_future_and_loop() -> None:
    probe = Probe()
    assert isinstance(probe.actor_inbox, Shelf)
    reply = probe.actor_ref.ask("question", block=False)
    assert isinstance(reply, Promise)
    (envelope,) = shelf(probe).envelopes
    assert (envelope.message, envelope.reply_to) == ("question", reply)
    ref = Probe.start()
    assert ref in pykka.ActorRegistry.get_all()  # which is why ours overrides start()
    pykka.ActorRegistry.unregister(ref)


def test_a_ref_shares_the_stopped_flag_and_the_inbox_of_its_actor() -> None:
    probe = Probe()
    ref = probe.actor_ref
    assert ref.is_alive()
    assert ref.actor_inbox is probe.actor_inbox
    assert ref.actor_class is Probe
    probe.actor_stopped.set()
    assert not ref.is_alive()


def test_a_stop_is_a_message_that_handle_receive_knows() -> None:
    probe = Probe()
    future = probe.actor_ref.stop(block=False)
    assert isinstance(future, Promise)
    (envelope,) = shelf(probe).envelopes
    assert isinstance(envelope.reply_to, Promise)
    probe._handle_receive(envelope.message)
    assert probe.actor_stopped.is_set()


def test_an_ask_of_the_dead_sets_the_exception_of_the_future() -> None:
    probe = Probe()
    probe.actor_stopped.set()
    reply = probe.actor_ref.ask("question", block=False)
    assert shelf(probe).empty()
    assert "value" in vars(reply)


def test_a_get_hook_answers_for_a_future() -> None:
    future = Promise()
    assert future._get_hook is None
    future.set_get_hook(lambda _timeout: 5)
    assert future.get() == 5


async def test_our_actors_are_pykkas_and_not_in_its_registry() -> None:
    ref = Actor.start()
    assert isinstance(ref, pykka.ActorRef)
    assert isinstance(ref.actor_inbox, Inbox)
    assert isinstance(ref.actor_class._create_future(), Reply)
    assert ref not in pykka.ActorRegistry.get_all()
    await ref.stop_and_wait(1.0)


async def test_pykkas_own_stop_ends_our_actor_and_resolves_its_future() -> None:
    actor = Actor()
    run_actor(actor)
    actor.stop()
    await actor.ref.ended()
    assert not actor.ref.is_alive()
    ref = Actor.start()
    done = ref.ask(object(), block=False)
    assert isinstance(done, Reply)
    stopped = ref.stop(block=False)
    await ref.ended()
    assert stopped.get() is True
    assert await done is None
