"""Certificates for one run, made by the openssl program in a folder that goes with the process: an
authority, what it signs, and contexts of clients and servers that trust nothing else."""
import atexit
import os
import shutil
import ssl
import subprocess
import tempfile

from . import Failure

_authority = None


def authority():
    """The authority of this run."""
    global _authority
    if _authority is None:
        directory = tempfile.mkdtemp(prefix="imserv-certificates-")
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        _authority = Authority(directory, "ca")
    return _authority


class Certificate:
    """Paths of a certificate and its key."""

    def __init__(self, path):
        self.cert, self.key, self._fingerprints = path + ".pem", path + ".key", {}

    def fingerprint(self, kind="sha256"):
        """As an a=fingerprint says it: `SHA-256 AB:CD:...`."""
        if kind not in self._fingerprints:
            line = _openssl("x509", "-in", self.cert, "-noout", "-fingerprint", "-" + kind)
            self._fingerprints[kind] = "SHA-%s %s" % (kind[3:], line.partition("=")[2].strip())
        return self._fingerprints[kind]


class Authority:
    def __init__(self, directory, name):
        self.directory, self.issued = directory, {}
        self.own = self._make(name, ())
        self.ca = self.own.cert

    def _make(self, name, alternatives, signer=None):
        made = Certificate(os.path.join(self.directory, name))
        arguments = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                     "-days", "30", "-subj", "/CN=" + name, "-out", made.cert, "-keyout", made.key]
        if alternatives:
            arguments += ["-addext", "subjectAltName=" + ",".join(alternatives)]
        if signer:
            arguments += ["-CA", signer.cert, "-CAkey", signer.key, "-addext", "basicConstraints=CA:FALSE"]
        _openssl(*arguments)
        return made

    def issue(self, name, *alternatives):
        """A certificate of this authority; the same name gets the same one again."""
        if name not in self.issued:
            self.issued[name] = self._make(name, alternatives or ("IP:127.0.0.1",), self.own)
        return self.issued[name]

    def lone(self, name, *alternatives):
        """A certificate that signed itself."""
        return self._make(name, alternatives or ("IP:127.0.0.1",))


def _openssl(*arguments):
    done = subprocess.run(("openssl",) + arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    if done.returncode:
        raise Failure("openssl %s: %s" % (arguments[0], done.stderr.decode()))
    return done.stdout.decode()


def client_context(certificate=None, lowest=None, highest=None, verify=True):
    """What a client trusts, and what it shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if verify:
        context.load_verify_locations(authority().ca)
    else:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate.cert, certificate.key)
    context.minimum_version = lowest or ssl.TLSVersion.TLSv1_2
    if highest:
        context.maximum_version = highest
    return context


def server_context(certificate, ask=False):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    if ask:
        context.load_verify_locations(authority().ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def main():
    """What servers show whose configuration is settings()."""
    return authority().issue("main", "IP:127.0.0.1", "DNS:localhost", "DNS:main.example.com")


def settings(certificate=None, **more):
    """An entry of `tls` of a server's configuration, by default `main`, in YAML flow syntax."""
    certificate = certificate or main()
    entry = dict({"name": "main", "cert": certificate.cert, "key": certificate.key, "ca": authority().ca}, **more)
    return "{%s}" % ", ".join('%s: "%s"' % item for item in entry.items())
