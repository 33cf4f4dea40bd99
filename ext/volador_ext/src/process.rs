//! What Ruby has no call for: about this process.

/// Children of children whose parent has ended become children of this process. False where the system has no such thing.
pub(crate) fn become_subreaper() -> bool {
    // Its argument is not used by the system, as long as there is one.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).is_ok()
}
