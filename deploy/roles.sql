-- The roles and the database of Voyagent, made once by the administrator of Postgres 16 or newer:
--   runuser -u postgres -- psql --set=ON_ERROR_STOP=1 --file=/opt/voyagent/current/deploy/roles.sql
-- None has a password: each signs in over the local socket as the system user of its name (peer in pg_hba.conf).
-- For a server on another machine give each one (\password NAME) and put it into the URLs.

-- Owns the tables and runs migrations. Row-level security is forced on it, too.
CREATE ROLE voyagent_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
-- The service: owns nothing, and sees the rows of the agency it serves at that moment.
CREATE ROLE voyagent LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
-- What the service becomes for work of no single agency (sign-in, sweeps): not inherited, or it would always be that.
CREATE ROLE voyagent_system NOLOGIN NOSUPERUSER NOBYPASSRLS;
GRANT voyagent_system TO voyagent WITH INHERIT FALSE, SET TRUE;
-- Reads everything for backups. Without BYPASSRLS a dump is refused, or lacks rows without a word.
CREATE ROLE voyagent_backup LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE BYPASSRLS;
GRANT pg_read_all_data TO voyagent_backup;

CREATE DATABASE voyagent OWNER voyagent_owner TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8';
REVOKE ALL ON DATABASE voyagent FROM PUBLIC;
GRANT CONNECT ON DATABASE voyagent TO voyagent, voyagent_backup;
