"""The second factor over the wire: every answer of its operations, with status and code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyotp

if TYPE_CHECKING:
    from tests.service.conftest import Person

PASSWORD, WRONG = "a long password 1", "zzzzzz"


async def test_r61_r3_r5_the_second_factor_answers_as_it_is_written(asha: Person) -> None:
    async def send(path: str, body: Any = None) -> tuple[int, Any]:
        return await asha.call("POST", f"/auth/{path}", json=body)

    me = {"email": asha.user["email"], "password": PASSWORD}
    assert await send("totp/verify", {"code": WRONG}) == (400, {"detail": "totp_not_initialized"})
    assert await send("sign-in-totp", me | {"totp_code": WRONG}) == (400, {"detail": "totp_not_enabled"})
    assert await send("totp/disable", {"password": PASSWORD, "code": WRONG}) == (200, {"totp_enabled": False})
    assert await asha.get("/auth/totp") == {"totp_enabled": False}
    status, made = await send("totp/setup")
    assert (status, set(made)) == (200, {"secret", "otpauth_url", "qr_modules"})
    device = pyotp.TOTP(made["secret"])
    assert await send("totp/verify", {"code": WRONG}) == (401, {"detail": "totp_invalid"})
    code = device.now()
    status, on = await send("totp/verify", {"code": f" {code[:3]}\u00a0{code[3:]} "})
    assert (status, on["totp_enabled"], len(on["recovery_codes"])) == (200, True, 10)
    assert await asha.get("/auth/totp") == {"totp_enabled": True}
    again = await send("totp/verify", {"code": device.now()})
    assert again == (200, {"totp_enabled": True, "recovery_codes": None})

    assert await send("totp/setup") == (409, {"detail": "totp_already_enabled"})
    assert await send("totp/verify", {"code": WRONG}) == (401, {"detail": "totp_invalid"})
    assert await send("sign-in", me) == (401, {"detail": "totp_required"})
    assert await send("sign-in-totp", me | {"totp_code": WRONG}) == (401, {"detail": "totp_invalid"})
    wrong = me | {"password": "not this", "totp_code": device.now()}
    assert await send("sign-in-totp", wrong) == (401, {"detail": "invalid_credentials"})
    status, entered = await send("sign-in-totp", me | {"totp_code": device.now()})
    assert (status, "recovery_codes_left" in entered) == (200, False)
    typed = on["recovery_codes"][0].lower().replace("1", "l").replace("0", "o")
    status, entered = await send("sign-in-totp", me | {"totp_code": f" {typed[:4]}-{typed[4:]} "})
    assert (status, entered["recovery_codes_left"]) == (200, 9)

    off = {"password": PASSWORD, "code": device.now()}
    assert await send("totp/disable", off | {"password": "not this"}) == (403, {"detail": "invalid_password"})
    assert await send("totp/disable", off | {"code": WRONG}) == (403, {"detail": "totp_invalid"})
    status, told = await send("totp/disable", off | {"code": "1234 56789"})
    assert (status, told["detail"][0]["type"]) == (422, "string_too_long")
    assert await send("totp/disable", off | {"code": device.now()}) == (200, {"totp_enabled": False})
    assert (await send("sign-in", me))[0] == 200
