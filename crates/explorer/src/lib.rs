//! What happened on a network, told by its chain.
