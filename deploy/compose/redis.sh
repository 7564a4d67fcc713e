#!/bin/sh
# Start a Redis server, or a Sentinel, for the market of several machines.
#
#   redis.sh server NAME [PRIMARY] [PORT [PRIMARY'S PORT]]
#   redis.sh sentinel NAME PRIMARY [PORT [PRIMARY'S PORT]]
#
# NAME is the host's own name, by which the others find it. REDIS_PASSWORD is the password of all.
#
# Nothing is written to the disk: a market that was lost begins anew with the next tick. A primary
# that no replica follows takes no writes, so that a machine cut off with it does not feed beside
# another one.
set -eu
umask 077
: "${REDIS_PASSWORD:?the password of all servers}"

kind=$1 name=$2 primary=${3:-} port=${4:-} primary_port=${5:-6379}
folder=${REDIS_FOLDER:-/tmp}
config=$folder/$name.conf

if [ "$kind" = server ]; then
    port=${port:-6379}
    cat > "$config" <<END
port $port
dir $folder
save ""
appendonly no
maxmemory-policy noeviction
requirepass $REDIS_PASSWORD
masterauth $REDIS_PASSWORD
replica-announce-ip $name
replica-announce-port $port
min-replicas-to-write 1
min-replicas-max-lag 3
END
    if [ -n "$primary" ]; then
        echo "replicaof $primary $primary_port" >> "$config"
    fi
    exec redis-server "$config"
fi

port=${port:-26379}
cat > "$config" <<END
port $port
dir $folder
requirepass $REDIS_PASSWORD
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $name
sentinel announce-port $port
sentinel monitor ticker $primary $primary_port 2
sentinel auth-pass ticker $REDIS_PASSWORD
sentinel sentinel-pass $REDIS_PASSWORD
sentinel down-after-milliseconds ticker 1000
sentinel failover-timeout ticker 5000
END
exec redis-server "$config" --sentinel
