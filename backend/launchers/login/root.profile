# root's .profile in a sandbox: a login shell of bash reads this instead of .bashrc.
[ -z "${BASH:-}" ] || . ~/.bashrc
