#!/usr/bin/env bash
# A one-node SLURM of your own, to try hydra/launcher=slurm and for its tests (Debian: apt-get install
# slurm-wlm munge). It lives in one folder, needs no root, and touches no SLURM that is there already.
#
#   scripts/local_slurm.sh start FOLDER      start it; the last line printed is to be exported:
#   export SLURM_CONF=FOLDER/slurm.conf      ... then sbatch, squeue and mubench use it
#   scripts/local_slurm.sh stop FOLDER       stop it, with the jobs that it runs
#   scripts/local_slurm.sh with COMMAND ...  start one in a temporary folder, run a command, stop it
set -euo pipefail

die() { echo "local_slurm.sh: $1" >&2; exit 1; }

free_ports() {  # two free ports, kept open together so that they differ
  python3 -c 'import socket
ends = [socket.socket() for _ in range(2)]
for end in ends: end.bind(("127.0.0.1", 0))
print(*(end.getsockname()[1] for end in ends))'
}

configure() {  # FOLDER
  local host user memory ports
  host=$(hostname -s) user=$(id -un) ports=($(free_ports))
  memory=$(awk '/MemAvailable/ {print int($2 / 1024 * 0.8)}' /proc/meminfo)
  cat >"$1/slurm.conf" <<EOF
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmdPort=${ports[1]}
AuthType=auth/munge
AuthInfo=socket=$1/munge.socket
CredType=cred/munge
SlurmUser=$user
SlurmdUser=$user
StateSaveLocation=$1/state
SlurmdSpoolDir=$1/spool
SlurmctldPidFile=$1/slurmctld.pid
SlurmdPidFile=$1/slurmd.pid
SlurmctldLogFile=$1/slurmctld.log
SlurmdLogFile=$1/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
KillWait=1
MinJobAge=300
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$memory State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
EOF
}

start() {  # FOLDER
  local missing folder
  for tool in munged slurmctld slurmd sbatch; do
    command -v "$tool" >/dev/null || missing="${missing:-} $tool"
  done
  [ -z "${missing:-}" ] || die "missing:$missing (Debian: apt-get install slurm-wlm munge)"
  mkdir -p "$1/state" "$1/spool"
  folder=$(cd "$1" && pwd)
  chmod 700 "$folder"
  configure "$folder"
  head -c 1024 /dev/urandom >"$folder/munge.key"
  chmod 600 "$folder/munge.key"
  export SLURM_CONF="$folder/slurm.conf"
  munged --force --key-file "$folder/munge.key" --socket "$folder/munge.socket" \
    --pid-file "$folder/munged.pid" --log-file "$folder/munged.log" --seed-file "$folder/munged.seed"
  slurmctld
  slurmd
  for _ in $(seq 100); do
    [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ] && break
    sleep 0.2
  done
  [ "$(sinfo --noheader --format=%T)" = idle ] || { tail "$folder"/*.log >&2; stop "$folder"; die "it did not start"; }
  echo "export SLURM_CONF=$folder/slurm.conf"
}

stop() {  # FOLDER
  [ -f "$1/slurm.conf" ] || die "there is no SLURM in $1"
  export SLURM_CONF="$1/slurm.conf"
  scancel --full --user "$(id -un)" 2>/dev/null || true
  for name in slurmd slurmctld munged; do
    [ -f "$1/$name.pid" ] || continue
    kill "$(cat "$1/$name.pid")" 2>/dev/null || true
    for _ in $(seq 50); do [ -f "$1/$name.pid" ] || break; sleep 0.2; done
  done
}

path=$PATH
export PATH="$path:/usr/sbin:/sbin"  # where the daemons lie, not always in a user's PATH
case "${1:-}" in
  start | stop) [ $# -eq 2 ] || die "usage: local_slurm.sh $1 FOLDER"; "$1" "$2" ;;
  with)
    [ $# -gt 1 ] || die "usage: local_slurm.sh with COMMAND ..."
    folder=$(mktemp -d)
    trap 'stop "$folder"; rm -rf "$folder"' EXIT
    start "$folder" >/dev/null
    SLURM_CONF="$folder/slurm.conf" "${@:2}" ;;
  *) die "usage: local_slurm.sh start FOLDER | stop FOLDER | with COMMAND ..." ;;
esac
