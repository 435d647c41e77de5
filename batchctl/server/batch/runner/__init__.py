"""What happens on a "node" of this machine: folders, environments, processes and what is left of them."""
