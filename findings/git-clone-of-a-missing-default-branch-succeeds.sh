#!/bin/sh
# Guess:     If the default branch of a repository (its HEAD) does not exist, git clone checks out the only branch that does, or
#            fails.
# Behaviour: It warns, checks out nothing, and exits with 0. `git status` in the clone reports "No commits yet", although the
#            commits have been fetched. A script that checks only the exit code then works in an empty folder.
# Versions:  git 2.39.5, Linux. Only local folders are used.
# Seen:      exit code 0, 0 files, 1 remote branch
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export HOME="$folder" GIT_CONFIG_NOSYSTEM=1
git --version
git init --quiet --initial-branch=work source
git -C source -c user.name=A -c user.email=a@a.example commit --quiet --allow-empty --message First
touch source/file
git -C source add file
git -C source -c user.name=A -c user.email=a@a.example commit --quiet --message Second
git clone --quiet --bare source origin.git
git -C origin.git symbolic-ref HEAD refs/heads/main
code=0
git clone origin.git clone || code=$?
files=$(ls clone | wc -l)
branches=$(git -C clone for-each-ref refs/remotes/origin | wc -l)
echo "exit code $code, $files files, $branches remote branch" | tee seen
git -C clone status
[ "$(cat seen)" = 'exit code 0, 0 files, 1 remote branch' ]
