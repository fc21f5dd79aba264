//! TLS between a function and the endpoint.
//!
//! Functions trust only Amazon's roots, which are compiled into them, and no setting changes that.
//! The benchmark therefore runs a copy of the program in which the first of these certificates is
//! replaced by a root of its own. The copy has the same size and the same number of roots.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use rustls::{
    ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tests::template;

const END: &str = "-----END CERTIFICATE-----\n";

/// Where systems keep the certificates that they trust.
const SYSTEM_ROOTS: [&str; 2] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// A root, and a certificate of `localhost` that it has signed. Keys are RSA with 2,048 bits, like
/// those of the AWS endpoints.
pub(crate) struct Trust {
    folder: PathBuf,
    root: String,
}

impl Trust {
    /// Makes new keys and certificates in `folder`. Needs `openssl`.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let extensions = "subjectAltName=DNS:localhost\nbasicConstraints=critical,CA:FALSE\n";
        fs::write(folder.join("leaf.ext"), extensions)?;
        let commands = [
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=bench -keyout root.key -out root.pem",
            "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout leaf.key -out leaf.csr",
            "x509 -req -in leaf.csr -CA root.pem -CAkey root.key -CAcreateserial -days 2 -extfile leaf.ext -out leaf.pem",
        ];
        for command in commands {
            let made =
                Command::new("openssl").args(command.split(' ')).current_dir(folder).output()?;
            if !made.status.success() {
                let reason = String::from_utf8_lossy(&made.stderr).into_owned();
                return Err(io::Error::other(format!("openssl {command}: {reason}")));
            }
        }
        let root = fs::read_to_string(folder.join("root.pem"))?;
        Ok(Self { folder: folder.to_owned(), root })
    }

    /// The settings of the endpoint. Like the endpoints of DynamoDB it speaks HTTP/1.1.
    pub(crate) fn server(&self) -> io::Result<Arc<ServerConfig>> {
        let chain = CertificateDer::from_pem_file(self.folder.join("leaf.pem"))
            .map_err(io::Error::other)?;
        let key =
            PrivateKeyDer::from_pem_file(self.folder.join("leaf.key")).map_err(io::Error::other)?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .map_err(io::Error::other)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// The certificates of the system and the root, for a program that reads `SSL_CERT_FILE`.
    pub(crate) fn bundle(&self) -> io::Result<PathBuf> {
        let system = SYSTEM_ROOTS.iter().find_map(|path| fs::read_to_string(path).ok());
        let bundle = self.folder.join("bundle.pem");
        fs::write(&bundle, system.unwrap_or_default() + &self.root)?;
        Ok(bundle)
    }

    /// Copies a program that trusts Amazon's roots into the folder. The copy also trusts the root
    /// of the benchmark.
    pub(crate) fn copy(&self, name: &str, program: &[u8]) -> io::Result<PathBuf> {
        let amazon = fs::read_to_string(template::root().join("shared/src/roots/amazon.pem"))?;
        let roots = replaced(&amazon, &self.root).map_err(io::Error::other)?;
        let mut copy = program.to_vec();
        let at = copy
            .windows(amazon.len())
            .position(|window| window == amazon.as_bytes())
            .ok_or_else(|| io::Error::other(format!("{name} does not contain Amazon's roots")))?;
        copy[at..at + roots.len()].copy_from_slice(roots.as_bytes());
        let path = self.folder.join(name);
        fs::write(&path, copy)?;
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(path)
    }
}

/// The certificates with another one in place of the first, at the same length: PEM allows empty
/// lines between certificates.
fn replaced(certificates: &str, other: &str) -> Result<String, String> {
    let first = certificates.find(END).map_or(0, |at| at + END.len());
    let padding = first
        .checked_sub(other.len())
        .ok_or("the benchmark's root is longer than the first certificate of Amazon")?;
    Ok(format!("{other}{}{}", "\n".repeat(padding), &certificates[first..]))
}
