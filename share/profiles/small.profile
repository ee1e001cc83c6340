# A small server: one service, or several that are idle most of the time.
cpus = 1
memory = 512M
swap = 512M
pids = 512
