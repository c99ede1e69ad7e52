# root's .bashrc in a sandbox. bash reads it for `ssh host command`, scp, sftp and rsync too: only a terminal becomes the login.
case $- in *i*) [ -t 0 ] && [ -t 2 ] && exec attach-claude ;; esac
