#!/bin/sh
# A batch as an array of tasks, each a part of it: sbatch array.sh BATCH.toml
#
# --shard slurm takes the part from SLURM_ARRAY_TASK_ID and the number of parts from
# SLURM_ARRAY_TASK_COUNT, so the array line is the only place that says how many there are.
#SBATCH --job-name=relift-batch
#SBATCH --array=0-3
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --mem=2G
#SBATCH --time=08:00:00
# Two minutes before the time is over, relift is told to stop: it takes back what it has begun.
#SBATCH --signal=TERM@120
# A task whose node fails begins again, and goes on where its journal ends.
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=relift-%A-%a.log

: "${1:?usage: sbatch array.sh BATCH.toml}"

# srun takes no number of processors from the job since Slurm 22.05, hence the flag.
# Exit 3 (some items failed) ends the task as FAILED 3:0; the report says which, and why.
exec srun --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
    "${RELIFT:-relift}" batch run "$1" --shard slurm --jobs 2 --progress plain
