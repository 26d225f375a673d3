//! The kernel's neighbour: process identity, signals, cgroups, usage, users, sockets.
