# A server of an ordinary size.
cpus = 2
memory = 2G
swap = 1G
pids = 2048
