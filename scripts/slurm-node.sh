#!/usr/bin/env bash
# A Slurm cluster of one node on this machine, for `just test-slurm`: loopback only, without systemd, cgroups or accounting.
#   scripts/slurm-node.sh up      install what is missing (Debian, as root), start the daemons, print the node
#   scripts/slurm-node.sh kill    kill the controller as a crash would; `start` brings it back with its state
#   scripts/slurm-node.sh start
#   scripts/slurm-node.sh down
# State lies under $SLURM_NODE (/tmp/hashlab-slurm). Programs find the cluster by SLURM_CONF=$SLURM_NODE/slurm.conf.
# The node pretends to have two GPUs: character devices, as slurmd accepts no other files.
set -euo pipefail

root=${SLURM_NODE:-/tmp/hashlab-slurm}
host=$(hostname -s)
export SLURM_CONF=$root/slurm.conf

install_packages() {
    command -v slurmctld >/dev/null && command -v munged >/dev/null && return
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        munge slurmctld slurmd slurm-client >/dev/null
}

configure() {
    mkdir -p "$root/state" "$root/spool"
    for gpu in 0 1; do
        [ -c "$root/gpu$gpu" ] || mknod "$root/gpu$gpu" c 1 3
    done
    # Small arrays and a short memory of ended jobs, so that few runs meet the limits of large clusters.
    cat >"$SLURM_CONF" <<CONF
ClusterName=hashlab
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16827
SlurmdPort=16828
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=100
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
MaxArraySize=64
MinJobAge=2
KillWait=5
SchedulerParameters=sched_interval=1,sched_min_interval=100000,batch_sched_delay=0
# The node may pretend to have more processors than the machine.
SlurmdParameters=config_overrides
StateSaveLocation=$root/state
SlurmdSpoolDir=$root/spool
SlurmctldPidFile=$root/slurmctld.pid
SlurmdPidFile=$root/slurmd.pid
SlurmctldLogFile=$root/slurmctld.log
SlurmdLogFile=$root/slurmd.log
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=${SLURM_NODE_CPUS:-4} RealMemory=${SLURM_NODE_MEMORY:-4000} Gres=gpu:fake:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
CONF
    echo "NodeName=$host Name=gpu Type=fake File=$root/gpu[0-1]" >"$root/gres.conf"
}

start_munge() {
    install -d -o munge -g munge -m 755 /run/munge
    munge -n 2>/dev/null | unmunge >/dev/null 2>&1 || runuser -u munge -- munged
}

wait_for_node() {
    for _ in $(seq 60); do
        sinfo --noheader --format %T 2>/dev/null | grep -qE '^(idle|mixed|allocated)$' && return
        sleep 0.5
    done
    echo "error: the node did not come up; see $root/slurmctld.log and $root/slurmd.log" >&2
    return 1
}

up() {
    install_packages
    configure
    start_munge
    slurmctld
    slurmd -N "$host" -b
    wait_for_node
    sinfo --Node --noheader --format "%N %T cpus=%c memory=%m gres=%G"
}

# The process of a daemon, if it runs.
pid_of() {
    local pid
    pid=$(cat "$root/$1.pid" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ] && echo "$pid"
}

down() {
    scancel --user "$(id -un)" 2>/dev/null || true
    for daemon in slurmctld slurmd; do
        pid=$(pid_of "$daemon") && kill "$pid" || true
    done
}

case ${1:-} in
up) up ;;
kill)
    # Slurm writes its state some seconds late: a task that began in between would be begun twice after the crash, and the
    # node drained. So no task begins just before it.
    scontrol update PartitionName=main State=DOWN
    sleep 6
    kill -KILL "$(pid_of slurmctld)"
    ;;
start)
    slurmctld
    wait_for_node
    scontrol update PartitionName=main State=UP
    ;;
down) down ;;
*)
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
