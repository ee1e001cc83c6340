# A large server: a database, or a machine that builds software.
cpus = 4
memory = 8G
swap = 2G
pids = 8192
