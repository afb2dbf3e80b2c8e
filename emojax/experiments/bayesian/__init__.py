"""Paper 004: sampled networks and ensembles against annotators' votes."""
