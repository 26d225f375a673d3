#!/bin/sh
# Prepares a folder for the web stack: configurations, users' folders, an empty
# database. Safe to run again: what is there is kept.
#
#   examples/web-stack/setup.sh FOLDER      as root, since three users share it
#
# FOLDER is an absolute path that every user can reach, such as /srv/web-stack.
set -eu

folder=${1:?usage: setup.sh FOLDER}
case $folder in
    /*) ;;
    *) echo "setup.sh: $folder is no absolute path" >&2; exit 2 ;;
esac
if [ "$(id -u)" != 0 ]; then
    echo "setup.sh: only root can give folders to other users" >&2
    exit 2
fi
for program in nginx redis-server runuser; do
    if ! command -v $program >/dev/null; then
        echo "setup.sh: $program is missing (hint: apt-get install nginx redis-server postgresql)" >&2
        exit 1
    fi
done
postgres=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
if [ -z "$postgres" ]; then
    echo "setup.sh: PostgreSQL is missing (hint: apt-get install postgresql)" >&2
    exit 1
fi
here=$(cd "$(dirname "$0")" && pwd)

install -d -m 755 "$folder" "$folder/hsu"

install -d -m 755 "$folder/nginx" "$folder/nginx/site"
install -d -m 700 -o www-data -g www-data "$folder/nginx/temp"
install -m 644 "$here/nginx.conf" "$folder/nginx/nginx.conf"
install -m 644 "$here/site/index.html" "$folder/nginx/site/index.html"

install -d -m 700 -o redis -g redis "$folder/redis"
install -m 600 -o redis -g redis "$here/redis.conf" "$folder/redis/redis.conf"

install -d -m 700 -o postgres -g postgres "$folder/postgres" "$folder/postgres/data" "$folder/postgres/socket"
ln -sfn "$postgres" "$folder/postgres/bin"
if [ ! -s "$folder/postgres/data/PG_VERSION" ]; then
    runuser -u postgres -- "$postgres/initdb" --pgdata="$folder/postgres/data" --encoding=UTF8 \
        --locale=C.UTF-8 --auth-local=peer --auth-host=scram-sha-256 >/dev/null
fi
install -m 600 -o postgres -g postgres "$here/postgresql.conf" "$folder/postgres/data/hsu.conf"
if ! grep -q '^include .hsu.conf' "$folder/postgres/data/postgresql.conf"; then
    printf "include 'hsu.conf'\nunix_socket_directories = '%s'\n" "$folder/postgres/socket" \
        >>"$folder/postgres/data/postgresql.conf"
fi

echo "ready: HSU_WEB_STACK=$folder hsu-master --config $here/hsu.yaml"
