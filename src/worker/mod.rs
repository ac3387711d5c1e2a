//! Wires the rooms, supervises the threads, drains: the only place that knows all rooms.
