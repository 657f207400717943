#!/usr/bin/env bash
# One run on several nodes, whose ranks are joined by MPI: one rank a node, on all its processors.
#
#   sbatch --nodes=4 docs/slurm/train.sh --batch-size 64 --data cifar-10-batches-bin --out runs/four-nodes
#
# Give it --out, the same each time: the run continues from the newest checkpoint there. Before its time is over, or
# when it has to make room, Slurm terminates the ranks; they save a checkpoint, exit with status 75, and the job goes
# back into the queue, which may give it another number of nodes. A rank that is lost ends the others; submit again.
#SBATCH --job-name=alrc-train
#SBATCH --output=%x-%j.log
#SBATCH --open-mode=append
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=2
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
set -u

# pmi2 is what MPICH understands, pmix what OpenMPI does.
srun --mpi="${ALRC_PMI:-pmi2}" --kill-on-bad-exit=1 "${ALRC_TRAIN:-alrc-train}" \
    run --comm mpi --resume --threads "$SLURM_CPUS_PER_TASK" "$@"
status=$?
if test $status = 75; then
    exec scontrol requeue "$SLURM_JOB_ID"
fi
exit $status
