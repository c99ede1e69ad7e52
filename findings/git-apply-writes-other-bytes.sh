#!/bin/sh
# Guess:     A patch made with `git diff --binary --full-index` names the blob of each new file. If `git apply` reports success,
#            the file has exactly these bytes; for a binary patch git even checks the name of the result.
# Behaviour: With attributes (working-tree-encoding, eol, ident) in the work tree, git converts the verified result once more when
#            it writes the file, as for a checkout. `git apply` exits with 0 and prints nothing, and the file's bytes are not those
#            of the blob that the patch names. A UTF-16 file that was stored byte for byte ends up encoded twice.
#            (apply.c calls convert_to_working_tree after apply_binary_fragment has compared object names.)
# Versions:  git 2.39.5 (Debian 12). Uses the git on PATH, or installs Debian's package into a temporary folder.
# Seen:      named 2c36af645ab4e1666506c6eac3255e4d90ce67c5, written 6bff943a95e6ce4bea09fd425ac83e02781d5bd6, exit code 0
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export HOME="$folder" GIT_CONFIG_GLOBAL="$folder/config" GIT_CONFIG_NOSYSTEM=1
if ! command -v git >/dev/null; then
    apt-get -q download git >/dev/null && dpkg -x git_*.deb root && export PATH="$folder/root/usr/bin:$PATH"
fi
git --version
git config --global user.name Example
git config --global user.email example@example.com

git init -q repository
cd repository
echo '*.u16 working-tree-encoding=UTF-16LE' >.gitattributes
git add .gitattributes
git commit -qm attributes
printf 'h\0i\0' >new.u16
named=$(git hash-object -w --no-filters new.u16)
git update-index --add --cacheinfo "100644,$named,new.u16"
git diff --cached --binary --full-index >../patch
git reset -q --hard
rm -f new.u16

grep -q "^index 0*\.\.$named" ../patch
code=0
git apply ../patch || code=$?
written=$(git hash-object --no-filters new.u16)
echo "named $named, written $written, exit code $code"
[ "$code" = 0 ] && [ "$written" != "$named" ]
