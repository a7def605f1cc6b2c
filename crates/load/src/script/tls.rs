//! What a script says about TLS: the options of Node's `tls.connect` in `config.tls`, `config.ws` and `connect`.

use super::{bundle::Files, fields::Fields, problem::Problems};
use crate::tls::Tls;

/// Reads the options of TLS, on top of those that hold for all. A PEM text stands in the script or in one of its `files`.
pub(super) fn read(
    fields: &mut Fields<'_>,
    tls: &mut Tls,
    files: &Files<'_>,
    problems: &mut Problems,
) {
    if let Some(is_checked) = fields.boolean("rejectUnauthorized", problems) {
        tls.insecure = !is_checked;
    }
    if let Some(name) = fields.text("servername", problems) {
        tls.server_name = Some(name.to_owned());
    }
    let authorities: Vec<_> = fields
        .texts("ca", problems)
        .into_iter()
        .filter_map(|text| pem(fields, "ca", text, files, problems))
        .collect();
    if !authorities.is_empty() {
        tls.ca = Some(authorities.join("\n"));
    }
    for (key, slot) in [("cert", &mut tls.cert), ("key", &mut tls.key)] {
        if let Some(text) = fields.text(key, problems)
            && let Some(text) = pem(fields, key, text, files, problems)
        {
            *slot = Some(text);
        }
    }
    fields.forbid(
        "pfx",
        "PKCS #12 is not supported: give cert and key as PEM",
        problems,
    );
    fields.forbid(
        "passphrase",
        "encrypted keys are not supported: decrypt the key (openssl pkey -in key.pem -out plain.pem)",
        problems,
    );
    fields.forbid(
        "checkServerIdentity",
        "a function of Node: give the expected name as servername, or set rejectUnauthorized: false",
        problems,
    );
}

/// The PEM text itself, or that of the file which is named.
fn pem(
    fields: &Fields<'_>,
    key: &'static str,
    text: &str,
    files: &Files<'_>,
    problems: &mut Problems,
) -> Option<String> {
    if text.contains("-----BEGIN ") {
        return Some(text.to_owned());
    }
    match files.read(text) {
        Ok(text) => Some(text),
        Err(why) => {
            let text = format!("expected a PEM text or the name of its file: {why}");
            problems.note(fields.place_of(key), &fields.path_of(key), text);
            None
        }
    }
}
