# root's .bashrc in a sandbox. bash also reads it for `ssh host command`, scp, sftp and rsync, so only a terminal starts the login.
case $- in *i*) [ -t 0 ] && [ -t 2 ] && exec attach-claude ;; esac
