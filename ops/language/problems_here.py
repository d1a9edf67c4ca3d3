"""What this machine, its files and its terminal lack, and options that don't go together."""

from __future__ import annotations

SENTENCES: dict[str, str | tuple[str, str]] = {
    "problem.key_of_others": "{path} belongs to {owner} and is not used: move it away.",
    "problem.key_readable": "{path} can be read by others: `chmod 600 {quoted}`, and replace the key.",
    "problem.key_unusable": "Can't use {path} ({why}): put the key's own file there.",
    "problem.home_unusable": "Can't use {path} ({why}): set KOPPELING_HOME to a folder of yours.",
    "problem.key_gone": "{path} is gone. {missing} Or put the file back.",
    "problem.database_option": "{name} has an option that PostgreSQL does not know: take {option} out of it.",
    "problem.database_url": "{name} can't be read: write postgresql://user:password@host:port/database.",
    "problem.nothing_here": (
        "There is no koppeling in {home} yet: begin with `koppeling up` or `koppeling tenants add`, or set "
        "KOPPELING_HOME to the folder where it is."
    ),
    "problem.not_running": "Nothing runs here: start it with `koppeling up`, or set KOPPELING_DATABASE_URL and KOPPELING_REDIS_URL.",
    "problem.port_unusable": "Port {port} of 127.0.0.1 can't be used ({why}): choose another with --port.",
    "problem.no_login": (
        "{host} can be reached from elsewhere and there is no login: `koppeling users add NAME --role admin` makes one, "
        "or set KOPPELING_LOGIN_TOKEN, or bind to 127.0.0.1."
    ),
    "problem.no_login_elsewhere": "{host} can be reached from elsewhere: --no-login is for 127.0.0.1 only.",
    "problem.file_not_regular": "{path}: is no regular file: write it to a file first",
    "problem.file_cant_be_read": "{path}: can't be read ({why})",
    "problem.file_name": "that is no name of a file",
    "problem.file_too_large": "{path}: larger than {most} MB",
    "problem.file_dots": "more than {most} dots: nested too deeply",
    "problem.file_long_number": "a number that is too long",
    "problem.file_nested": "nested too deeply",
    "problem.file_more": "{name}: and {more} more",
    "problem.file_not_text": "{path}: is not UTF-8 text",
    "problem.target_not_regular": "{path} is no regular file: name one that is to be made.",
    "problem.cant_write": "Can't write {path} ({why}).",
    "why.symbolic_link": "it is a symbolic link",
    "problem.no_room_for_plan": "What a run would do can't be kept in {folder} ({why}): make room there, or set TMPDIR to another folder.",
    "page.no_room_for_plan": "What a run would do can't be kept: the disk of the server is full ({why}). Who runs Koppeling makes room.",
    "problem.no_editor": "The editor {program!r} can't be started ({why}): set EDITOR to one that is there.",
    "problem.editor_ended": "The editor ended with {code}: nothing was changed.",
    "problem.last_or_contract": "Say --last or --contract: what --contract finds is not kept.",
    "problem.state_or_all": "Say --state or --all, not both.",
    "problem.say_yes": "{question} Say --yes: there is no terminal to ask.",
    "problem.nothing_done": "Nothing was done.",
    "problem.no_instant": "{option}: write a day or a time such as 2026-11-22 or 2026-11-22T14:00Z.",
    "problem.no_day": "{option}: write a day such as 2026-11-22.",
    "problem.no_duration": "{option}: {said}",
    "problem.csv_dry_run": "--csv goes with --dry-run, or with --preview --wait.",
    "problem.simulate_what": "Simulate afas or pluvo, not {system!r}.",
    "problem.cant_listen": "Can't listen ({why}): choose another --port.",
    "problem.demo_batch": "A batch of {direction} was not over after {seconds} s.",
    "problem.demo_database": (
        "The demo needs a database that nothing else of koppeling uses: name another one, or unset "
        "KOPPELING_DATABASE_URL to use an embedded one."
    ),
    "problem.up_slow": "`koppeling up` was not ready within {seconds} s: {words}",
    "problem.up_ended": "`koppeling up` ended with code {code}: {words}",
    "problem.up_no_start": "`koppeling up` does not start: {words}",
    "problem.scheduler_no_start": "`koppeling scheduler` does not start: {words}",
    "problem.key_of_environment": "The key is that of KOPPELING_SECRET_KEYS, which only you can change: put a new one in front of it everywhere, restart, `koppeling tenants rotate-keys`, take the old one out.",
    "problem.key_not_written": "Can't write {path} ({why}): all that is stored can be read as before.",
    "problem.backup_elsewhere": "KOPPELING_DATABASE_URL names the database: back it up and restore it with PostgreSQL's own pg_dump and pg_restore (docs/operations.md has the lines).",
    "problem.backup_which_key": "Say whether the key of the stored secrets goes into the file too: --with-key or --without-key.",
    "problem.backup_over_other": "{path} is there and is no backup: name another file.",
    "problem.backup_twice": "Another process is writing {path}: wait for it, or name another file.",
    "problem.backup_none": "{path} is no backup of koppeling.",
    "problem.backup_newer_form": "{path} was made by a newer koppeling: upgrade koppeling on this machine.",
    "problem.backup_damaged": "{path} is cut off or damaged: take another backup. Nothing was changed.",
    "problem.backup_newer": "The backup was made by a newer koppeling ({version}, tables of {revision}): upgrade koppeling on this machine. Nothing was changed.",
    "problem.backup_key": "The backup's secrets are under a key that is not here (fingerprint {missing}; here: {has}): name a file with that key with --key-file. Nothing was changed.",
    "problem.backup_key_environment": "The backup's secrets are under a key that KOPPELING_SECRET_KEYS does not have (fingerprint {missing}): add it there. Nothing was changed.",
    "problem.dump_failed": "The backup failed, and no file was written: {why}",
    "problem.restore_failed": "Restoring failed, and what was there is as it was: {why}",
    "problem.restore_over_tenants": (
        "There is {count} tenant here, which would be lost: --replace-tenants does it all the same. Nothing was changed.",
        "There are {count} tenants here, which would be lost: --replace-tenants does it all the same. Nothing was changed.",
    ),
    "problem.no_revision": "{revision} is no revision of the tables that this version knows: {known}.",
    "problem.stop_workers": (
        "{count} worker process is at work: stop it first, and scheduler and serve. Nothing was changed.",
        "{count} worker processes are at work: stop them first, and scheduler and serve. Nothing was changed.",
    ),
}
