"""Does Slurm do a sweep, one task requeued in the middle?

    python tests/slurm_check.py RTG

Starts a Slurm cluster of one machine on the loopback interface (no systemd, no cgroups; needs root
and Debian's packages slurmctld, slurmd, slurm-client and munge; without them the check is skipped with
a message). Submits a sweep as an array, two tasks at a time, requeues a task while it trains, and waits.
Then every run must have its result, the requeued one must have gone on from its checkpoint to the
bits of a run alone, each run must have the threads of its task, and another call must have nothing
to do. Exits with 1 at the first difference.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

NEEDED = ("slurmctld", "slurmd", "sbatch", "scontrol", "squeue", "munged")
PATIENCE_SECS = 120
CORES = os.cpu_count()
CONFIGURATION = """
ClusterName=one
SlurmctldHost=localhost
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/builtin
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
MailProg=/bin/true
NodeName=localhost CPUs={cores} State=UNKNOWN
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE State=UP
"""
PLAN = """
[base]
dataset = "builtin/cartpole/random"
algorithm = "bc"
steps = {steps}
checkpoint_every = 5
optimiser.batch_size = 8
evaluation = {{ episodes = 1, final_episodes = 2 }}
[grid]
seed = [0, 1, 2]
[slurm]
cpus-per-task = 1
"""


def check(truth, message):
    if not truth:
        sys.exit(f"slurm_check: {message}")


def until(seconds, what, condition):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    sys.exit(f"slurm_check: waited {seconds} s for {what}")


class Cluster:
    """One machine, for as long as the `with` lasts."""

    def __init__(self, folder):
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self.env = os.environ | {"SLURM_CONF": str(self.conf)}
        # Processes in the order in which they end, by their files.
        self.pids = [folder / "slurmd.pid", folder / "slurmctld.pid", folder / "munge" / "pid"]

    def __enter__(self):
        folder = self.folder
        folder.chmod(0o755)
        for name, mode in (("state", 0o755), ("spool", 0o755), ("munge", 0o755), ("key", 0o700)):
            (folder / name).mkdir()
            (folder / name).chmod(mode)
        key = folder / "key" / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        self.conf.write_text(CONFIGURATION.format(folder=folder, cores=CORES))
        files = {"key-file": key, "socket": folder / "munge" / "socket", "pid-file": self.pids[2]}
        files |= {"log-file": folder / "key" / "log", "seed-file": folder / "key" / "seed"}
        self.call("munged", *(f"--{name}={path}" for name, path in files.items()))
        self.call("slurmctld", "-f", self.conf)
        self.call("slurmd", "-f", self.conf, "-N", "localhost")
        until(60, "an idle node", lambda: "idle" in self.call("sinfo", "-h", "-o", "%T", fails=True))
        return self

    def __exit__(self, *_):
        for path in self.pids:
            try:
                pid = int(path.read_text())
                os.kill(pid, signal.SIGTERM)
            except (OSError, ValueError):
                continue
            deadline = time.monotonic() + 20
            while pathlib.Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
                time.sleep(0.1)

    def call(self, *command, fails=False, cwd=None):
        answer = subprocess.run(
            [str(word) for word in command], env=self.env, capture_output=True, text=True, cwd=cwd, timeout=60
        )
        if answer.returncode != 0 and not fails:
            logs = "".join(path.read_text()[-2000:] for path in self.folder.glob("slurm*.log"))
            sys.exit(f"slurm_check: {command}: {answer.stdout}{answer.stderr}\n{logs}")
        return answer.stdout


def steps_of(run):
    try:
        found = re.findall(r'"step":(\d+)', (run / "metrics.jsonl").read_text())
    except OSError:
        return 0
    return int(found[-1]) if found else 0


def weights(run):
    return (run / "checkpoints" / "weights.safetensors").read_bytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rtg")
    parser.add_argument("--steps", type=int, default=600)
    arguments = parser.parse_args()
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing or os.geteuid() != 0:
        print(f"SKIPPED: no Slurm cluster here ({', '.join(missing) or 'not root'})")
        return
    rtg = pathlib.Path(arguments.rtg).resolve()
    with tempfile.TemporaryDirectory(prefix="rtg-slurm-") as scratch, Cluster(pathlib.Path(scratch)) as cluster:
        work = pathlib.Path(scratch) / "work"
        work.mkdir()
        (work / "plan.toml").write_text(PLAN.format(steps=arguments.steps))
        folder = work / "sweeps" / "plan"
        submit = (rtg, "sweep", "plan.toml", "--slurm", "--limit", "2")
        said = cluster.call(*submit, cwd=work)
        job = re.search(r"Submitted batch job (\d+)", said)
        check(job, f"sbatch said: {said}")
        job = job.group(1)
        run = folder / "runs" / "seed-0"
        until(PATIENCE_SECS, "a checkpoint", (run / "checkpoints" / "latest.safetensors").exists)
        cluster.call("scontrol", "requeue", f"{job}_0")
        cut = steps_of(run)
        check(cut < arguments.steps and not (run / "summary.json").exists(), "the run had ended before the requeue")

        def is_over():
            # A requeued task would wait for two minutes.
            cluster.call("scontrol", "update", f"jobid={job}_0", "starttime=now", fails=True)
            return not cluster.call("squeue", "-h", "-j", job, fails=True).strip()

        until(PATIENCE_SECS, "the array", is_over)
        for seed in range(3):
            run = folder / "runs" / f"seed-{seed}"
            check((run / "summary.json").exists(), f"seed {seed} has no result")
            check("threads = 1\n" in (run / "experiment.toml").read_text(), f"seed {seed} has other threads")
        log = folder / "logs" / f"slurm-{job}_0.log"
        begins = log.read_text(errors="replace").count(" steps into ")
        check(begins == 2, f"task 0 began {begins} times: {log.read_text(errors='replace')}")
        cluster.call(rtg, "train", folder / "plans" / "seed-0.toml", "--threads", "1", "--run-dir", "alone", cwd=work)
        check(weights(work / "alone") == weights(folder / "runs" / "seed-0"), "the requeued run has other weights")
        said = cluster.call(*submit, cwd=work)
        check("all runs are done" in said, f"called again: {said}")
    print(f"Slurm did 3 runs, one requeued at step {cut} of {arguments.steps}, with the bits of a run alone")


if __name__ == "__main__":
    main()
