#!/bin/sh
# Hands in a batch: the array, and what comes after it: submit.sh BATCH.toml
#
# afterany, not afterok: a task with failed items ends with exit 3, and then a report is wanted most.
: "${1:?usage: submit.sh BATCH.toml}"
set -e
here=$(dirname "$0")
array=$(sbatch --parsable "$here/array.sh" "$1")
merge=$(sbatch --parsable --dependency="afterany:$array" "$here/merge.sh" "$1")
echo "array $array, merge $merge"
