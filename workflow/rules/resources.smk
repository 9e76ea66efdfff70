# What a job of a stage asks for, and what starts it on several devices. No rule here.

# Which of the jobs that could start does: evaluations and data cards, which nothing waits for, have Snakemake's 0, and
# among trainings those that wait for scores are behind.
TRAINING, SCORES = 1, 2


def resource(stage, name):
    """One leaf of what a job of a stage asks for."""
    return from_sections(
        lambda sections: getattr(sections.stage_resources(stage), name)
    )


def job_resources(stage):
    """What Snakemake and SLURM are asked for by a job of a stage; what is None is not asked for.

    GPUs of one node are `gpu`, without `tasks` (which would mean tasks a GPU). Of several nodes each has one task
    (`mpi`), which the launcher starts. None of these is a parameter: other machines do not make other results due.
    """
    asked = {
        "mem_mb": lambda job: job.mem_mb,
        "runtime": lambda job: job.runtime,
        "nodes": lambda job: job.nodes,
        "cpus_per_task": lambda job: job.threads,
        "gpu": lambda job: job.gpus if job.gpus and job.nodes == 1 else None,
        "gres": lambda job: f"gpu:{job.gpus}" if job.gpus and job.nodes > 1 else None,
        "tasks": lambda job: job.nodes if job.nodes > 1 else None,
        "tasks_per_gpu": lambda job: 0 if job.gpus else None,
        "mpi": lambda job: "srun" if job.nodes > 1 else None,
    }
    if stage in ("sft", "train"):
        asked |= {
            "launcher": lambda job: on_own_gpus(job, launcher(job)),
            "deadline": lambda job: f"{job.runtime - min(5, job.runtime / 2):g}",
        }
    if stage in ("generate", "evaluate", "judge"):
        asked["starter"] = lambda job: on_own_gpus(job, "python")
    resources = {
        name: from_sections(of_stage(stage, value)) for name, value in asked.items()
    }
    return {name: value for name, value in resources.items() if value is not None}


def of_stage(stage, value):
    """A function of sections, from one of what a job of a stage asks for."""
    return lambda sections: value(sections.stage_resources(stage))


def on_own_gpus(job, words):
    """The words before a program, on a machine whose GPUs nobody else hands out: `resources: gpu` of the profile."""
    bound = workflow.global_resources.get("gpu")  # without one, its value is None
    total = getattr(bound, "value", bound)
    if not total or not job.gpus:
        return words
    nodes = f" --nodes {job.nodes}" if job.nodes > 1 else ""
    return (
        f"python scripts/own_gpus.py --gpus {job.gpus} --of {total}{nodes} -- {words}"
    )


# How long torchrun waits for its ranks after a signal: above the time of a save.
SAVE_SECONDS = 600


def launcher(job):
    """The words before a program that runs as one process per GPU: torchrun, started on every node by srun.

    A step of a multi-node job knows its job's number only: what srun is to start is said in full. The first node runs
    the job's script, so that its name is the address at which the ranks meet.
    """
    if job.gpus <= 1 and job.nodes == 1:
        return "python"
    torchrun = f"python -m torch.distributed.run --shutdown-timeout {SAVE_SECONDS} --nproc-per-node {max(1, job.gpus)}"
    if job.nodes == 1:
        return f"{torchrun} --standalone"
    gpus = f" --gres=gpu:{job.gpus}" if job.gpus else ""
    return (
        f"srun --nodes={job.nodes} --ntasks={job.nodes} --ntasks-per-node=1 --cpus-per-task={job.threads}{gpus}"
        f" --kill-on-bad-exit=1 {torchrun} --nnodes {job.nodes} --rdzv-backend c10d --rdzv-id $SLURM_JOB_ID"
        " --rdzv-endpoint $(hostname):$((20000 + SLURM_JOB_ID % 10000))"
    )


def rank_threads(stage):
    """The CPU threads of each process that the launcher starts."""
    return from_sections(
        of_stage(stage, lambda job: max(1, job.threads // max(1, job.gpus)))
    )
