# root's .profile in a sandbox. A bash login shell reads this instead of .bashrc.
[ -z "${BASH:-}" ] || . ~/.bashrc
