//! What a definition from elsewhere must not bring to the host: a row each.
//!
//! | the finding | its row |
//! |---|---|
//! | a device or a right on one of the old host (W0206) | blocked, unless `--ignore ITEM` or `--trust-xml`: the guest may be there for it |
//! | everything else | dropped |

use code::Code;
use convert::{Note, Row};
use domain::Finding;

use super::{Draft, Inputs};
use crate::XmlTrust;

/// What stands before the items in the path of each.
const ROOT: &str = "/domain/";

/// Adds a row for each part of the definition that goes; those of the firmware's configuration are
/// planned as files.
pub(super) fn plan(inputs: &Inputs<'_>, draft: &mut Draft) {
    if inputs.choices.trust_xml == XmlTrust::AsItStands {
        return;
    }
    let removed = inputs.native.removed.iter();
    for finding in removed.filter(|finding| !super::firmware_config::tells(inputs, finding)) {
        draft.rows.push(row(inputs, finding));
    }
}

fn row(inputs: &Inputs<'_>, finding: &Finding) -> Row {
    let item = item(finding);
    let row = |note| Row::dropped(&item, &item, "stated", note).at(&finding.path);
    if finding.code != Code::W0206 {
        return row(Note::new(finding.code, &finding.message));
    }
    if inputs.choices.hardware.ignores(&item, None) {
        return row(Note::new(finding.code, format!("{}: left out on request", finding.message)));
    }
    let hint = format!("--ignore '{item}' goes on without it, --trust-xml takes it");
    let note = Note::blocker(finding.code, &finding.message).hint(hint);
    Row::blocked(&item, &item, "stated", note).at(&finding.path)
}

/// What a part of the definition is called: its path below the root.
pub(super) fn item(finding: &Finding) -> String {
    finding.path.strip_prefix(ROOT).unwrap_or(&finding.path).to_owned()
}
