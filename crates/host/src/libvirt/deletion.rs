//! What is deleted of checkpoints and snapshots, in the words of virsh.

/// What is deleted of a checkpoint or a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// What libvirt knows of it; bitmaps and images stay as they are, or are gone already.
    Metadata,
}

/// Which checkpoints or snapshots are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// That one alone; its children get its parent.
    One,
    /// That one, and all that follow from it.
    WithChildren,
}

/// A command that deletes, with its flags.
pub(super) fn words(command: &'static str, scope: Scope, extent: Extent) -> Vec<&'static str> {
    let children = (scope == Scope::WithChildren).then_some("--children");
    let metadata = (extent == Extent::Metadata).then_some("--metadata");
    [Some(command), children, metadata].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_is_deleted() {
        let told = |scope, extent| words("snapshot-delete", scope, extent).join(" ");
        assert_eq!(told(Scope::One, Extent::Whole), "snapshot-delete");
        assert_eq!(told(Scope::One, Extent::Metadata), "snapshot-delete --metadata");
        assert_eq!(told(Scope::WithChildren, Extent::Whole), "snapshot-delete --children");
        let all = told(Scope::WithChildren, Extent::Metadata);
        assert_eq!(all, "snapshot-delete --children --metadata");
    }
}
