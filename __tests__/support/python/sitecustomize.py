# Connections of Python to api.formlabs.com go to the port in TEST_FORMLABS_PORT instead, and are trusted
# as the certificate in TEST_FORMLABS_CA says.
import os
import socket
import ssl

look_up = socket.getaddrinfo
load_default_certs = ssl.SSLContext.load_default_certs


def getaddrinfo(host, port, *args, **kwargs):
    if host == "api.formlabs.com":
        host, port = "127.0.0.1", int(os.environ["TEST_FORMLABS_PORT"])
    return look_up(host, port, *args, **kwargs)


def load_certs(context, *args, **kwargs):
    load_default_certs(context, *args, **kwargs)
    context.load_verify_locations(os.environ["TEST_FORMLABS_CA"])
    # Python 3.13 insists on an identifier that certificates made on the spot do not have.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT


socket.getaddrinfo = getaddrinfo
ssl.SSLContext.load_default_certs = load_certs
