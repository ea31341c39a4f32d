//! Every parser comes back from whatever it is fed: without a panic, soon, and with little memory.

mod mutations;
mod seeds;
