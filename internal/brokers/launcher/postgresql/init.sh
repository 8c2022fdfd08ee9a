# Makes the data of a PostgreSQL for tests in the folder $PGDATA: a superuser and a database, both called batch,
# and a password. It must run as another user than root. scripts/broker-images.sh runs it when it builds an image,
# since it takes a second, and the launcher in a container whose image has nothing that this file has made.
set -e
for bin in /usr/lib/postgresql/*/bin; do PATH="$bin:$PATH"; done # other images than Debian's have it there

# Nothing is flushed to the disk: a container does not survive its machine. The server itself flushes what it commits.
initdb --no-sync --encoding=UTF8 --locale=C.UTF-8 --auth=trust --username=batch >/dev/null
printf '%s\n' "ALTER ROLE batch PASSWORD 'only-for-tests'" "CREATE DATABASE batch" | postgres --single -F postgres >/dev/null
