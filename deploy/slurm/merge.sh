#!/bin/sh
# What comes after the array: one journal, and the report beside the batch file: sbatch merge.sh BATCH.toml
#SBATCH --job-name=relift-merge
#SBATCH --ntasks=1
#SBATCH --mem=512M
#SBATCH --time=00:10:00
#SBATCH --output=relift-merge-%j.log

: "${1:?usage: sbatch merge.sh BATCH.toml}"
set -e
srun "${RELIFT:-relift}" batch merge "$1"
srun "${RELIFT:-relift}" batch report "$1" --format html -o "${1%.toml}.report.html"
