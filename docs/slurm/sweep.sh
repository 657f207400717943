#!/usr/bin/env bash
# A grid of runs as a job array: each task does its shard of the runs.
#
#   sbatch --array=0-3 docs/slurm/sweep.sh stability-quartic --data cifar-10-batches-bin --out runs/quartic
#
# Before its time is over, or when it has to make room, Slurm terminates the program; that saves a checkpoint, exits
# with status 75, and the task goes back into the queue, to continue where it was.
#SBATCH --job-name=alrc-sweep
#SBATCH --output=%x-%A-%a.log
#SBATCH --open-mode=append
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
set -u

shard=$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN))/$SLURM_ARRAY_TASK_COUNT
srun "${ALRC_TRAIN:-alrc-train}" sweep "$@" --shard "$shard" --threads "$SLURM_CPUS_PER_TASK"
status=$?
if test $status = 75; then
    exec scontrol requeue "$SLURM_JOB_ID"
fi
exit $status
