"""Golden vectors of the secure room: a second implementation of its formats.

Only hashlib comes from elsewhere; X25519 (RFC 7748), ChaCha20-Poly1305 (RFC 8439) and
Ed25519 (RFC 8032) are written out below for their clarity, are far from constant time, and
are checked here against the vectors of their RFCs. The Noise code is checked against
vectors/secure/noise_ikpsk2.txt, which was published by others.
Run with /usr/bin/python3 in the repository root; the files are committed.
"""

import base64
import hashlib
import hmac
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "vectors", "secure")
CORPUS = os.path.join(HERE, "..", "..", "fuzz", "corpus")
P = 2**255 - 19


# --- primitives -------------------------------------------------------------------------

def clamp(secret):
    b = bytearray(secret)
    b[0] &= 248
    b[31] = (b[31] & 127) | 64
    return bytes(b)


def x25519(secret, u_bytes):
    k = int.from_bytes(clamp(secret), "little")
    u = (int.from_bytes(u_bytes, "little") & (2**255 - 1)) % P
    x2, z2, x3, z3, swap = 1, 0, u, 1, 0
    for t in range(254, -1, -1):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b = x2 + z2, x2 - z2
        aa, bb = a * a % P, b * b % P
        e = aa - bb
        da, cb = (x3 - z3) * a % P, (x3 + z3) * b % P
        x3, z3 = (da + cb)**2 % P, u * (da - cb)**2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def x25519_public(secret):
    return x25519(secret, (9).to_bytes(32, "little"))


def chacha20_block(key, counter, nonce):
    state = list(struct.unpack("<4I", b"expand 32-byte k")) + list(struct.unpack("<8I", key))
    state += [counter] + list(struct.unpack("<3I", nonce))
    w = state[:]

    def quarter(a, b, c, d):
        for x, y, z, r in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            w[x] = (w[x] + w[y]) & 0xffffffff
            w[z] ^= w[x]
            w[z] = (w[z] << r | w[z] >> (32 - r)) & 0xffffffff

    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack("<16I", *((a + b) & 0xffffffff for a, b in zip(w, state)))


def aead(key, nonce, data, plain):
    stream = b"".join(chacha20_block(key, 1 + i, nonce) for i in range(len(plain) // 64 + 1))
    sealed = bytes(a ^ b for a, b in zip(plain, stream))
    one = chacha20_block(key, 0, nonce)[:32]
    r = int.from_bytes(one[:16], "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff
    message = data + bytes(-len(data) % 16) + sealed + bytes(-len(sealed) % 16)
    message += struct.pack("<QQ", len(data), len(sealed))
    total = 0
    for i in range(0, len(message), 16):
        total = (total + int.from_bytes(message[i:i + 16] + b"\1", "little")) * r % (2**130 - 5)
    total = (total + int.from_bytes(one[16:], "little")) & (2**128 - 1)
    return sealed + total.to_bytes(16, "little")


D = -121665 * pow(121666, P - 2, P) % P
ORDER = 2**252 + 27742317777372353535851937790883648493


def ed_add(p, q):
    """Affine addition: slow, and short."""
    (x1, y1), (x2, y2) = p, q
    k = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + k, P - 2, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - k, P - 2, P) % P
    return x, y


def ed_base_times(n):
    y = 4 * pow(5, P - 2, P) % P
    xx = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(xx, (P + 3) // 8, P)
    if (x * x - xx) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x & 1:
        x = P - x
    point, total = (x, y), (0, 1)
    while n:
        if n & 1:
            total = ed_add(total, point)
        point, n = ed_add(point, point), n >> 1
    x, y = total
    return (y | (x & 1) << 255).to_bytes(32, "little")


def ed25519(seed, message=None):
    """The public key, or the signature of a message."""
    digest = hashlib.sha512(seed).digest()
    a = int.from_bytes(clamp(digest[:32]), "little")
    public = ed_base_times(a)
    if message is None:
        return public
    r = int.from_bytes(hashlib.sha512(digest[32:] + message).digest(), "little") % ORDER
    point = ed_base_times(r)
    k = int.from_bytes(hashlib.sha512(point + public + message).digest(), "little") % ORDER
    return point + ((r + k * a) % ORDER).to_bytes(32, "little")


def check_primitives():
    h = bytes.fromhex
    alice = h("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    bob = h("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    assert x25519(alice, bob) == h(
        "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
    seed = h("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    assert ed25519(seed) == h(
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    assert ed25519(seed, b"") == h(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555f"
        "b8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b")


# --- Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b ------------------------------------------------

def blake(data, size=64, **more):
    return hashlib.blake2b(data, digest_size=size, **more).digest()


class Noise:
    def __init__(self, responder_public, prologue):
        self.h = self.ck = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b".ljust(64, b"\0")
        self.mix(prologue)
        self.mix(responder_public)

    def mix(self, data):
        self.h = blake(self.h + data)

    def hkdf(self, data, outputs):
        key = hmac.new(self.ck, data, hashlib.blake2b).digest()
        out, last = [], b""
        for i in range(outputs):
            last = hmac.new(key, last + bytes([i + 1]), hashlib.blake2b).digest()
            out.append(last)
        return out

    def mix_key(self, data):
        self.ck, key = self.hkdf(data, 2)
        self.k, self.n = key[:32], 0

    def ephemeral(self, public):
        self.mix(public)
        self.mix_key(public)
        return public

    def encrypt(self, plain):
        sealed = aead(self.k, struct.pack("<IQ", 0, self.n), self.h, plain)
        self.n += 1
        self.mix(sealed)
        return sealed

    def message_1(self, s, e, responder, payload):
        out = self.ephemeral(x25519_public(e))
        self.mix_key(x25519(e, responder))
        out += self.encrypt(x25519_public(s))
        self.mix_key(x25519(s, responder))
        return out + self.encrypt(payload)

    def message_2(self, e, init_static, init_ephemeral, psk, payload):
        out = self.ephemeral(x25519_public(e))
        self.mix_key(x25519(e, init_ephemeral))
        self.mix_key(x25519(e, init_static))
        self.ck, hashed, key = self.hkdf(psk, 3)
        self.mix(hashed)
        self.k, self.n = key[:32], 0
        return out + self.encrypt(payload)

    def split(self):
        return [key[:32] for key in self.hkdf(b"", 2)]


def check_noise():
    with open(os.path.join(OUT, "noise_ikpsk2.txt"), encoding="ascii") as file:
        pairs = dict(line.split() for line in file if not line.startswith("#"))
    v = {name: bytes.fromhex(value) for name, value in pairs.items()}
    noise = Noise(v["init_remote_static"], v["prologue"])
    assert x25519_public(v["resp_static"]) == v["init_remote_static"]
    assert v["ciphertext_0"] == noise.message_1(
        v["init_static"], v["init_ephemeral"], v["init_remote_static"], v["payload_0"])
    assert v["ciphertext_1"] == noise.message_2(
        v["resp_ephemeral"], x25519_public(v["init_static"]),
        x25519_public(v["init_ephemeral"]), v["psk"], v["payload_1"])
    assert noise.h == v["handshake_hash"]
    keys = noise.split()
    for i in range(2, 6):
        nonce = struct.pack("<IQ", 0, (i - 2) // 2)
        assert v["ciphertext_%d" % i] == aead(keys[i % 2], nonce, b"", v["payload_%d" % i])


# --- formats ----------------------------------------------------------------------------

HELLO, WELCOME, DATA, ALERT = 1, 2, 3, 4


def header(kind, size, session=bytes(16), sequence=0, round_=0, sender=bytes(8), epoch=0):
    out = b"WTN1" + bytes([1, 1, kind, 0]) + session + struct.pack("<QQ", sequence, round_)
    out += sender + struct.pack("<II", epoch, size)
    assert len(out) == 56
    return out


class Way:
    """One direction of a session; `messages` per epoch."""

    def __init__(self, key, session, sender, messages):
        self.key, self.session, self.sender, self.messages = key, session, sender, messages
        self.sequence = self.epoch = self.sent = 0

    def seal(self, round_, plain):
        if self.sent == self.messages:
            self.epoch, self.sent = self.epoch + 1, 0
            self.key = blake(b"", 32, key=self.key, salt=struct.pack("<QQ", self.epoch, 0),
                             person=b"wtnrekey".ljust(16, b"\0"))
        self.sequence, self.sent = self.sequence + 1, self.sent + 1
        head = header(DATA, len(plain), self.session, self.sequence, round_, self.sender,
                      self.epoch)
        return head + aead(self.key, struct.pack("<IQ", 0, self.sequence), head, plain)


class Identity:
    def __init__(self, seed, transport):
        self.seed, self.secret = seed, clamp(transport)
        self.sign, self.transport = ed25519(seed), x25519_public(self.secret)
        self.id = blake(self.sign, 32)[:8]

    def file(self):
        line, keys = b"WITAN-SECRET-KEY-1\n", self.seed + self.secret
        check = blake(line + keys, 32)[:24]
        return line + base64.b64encode(keys) + b"\n" + base64.b64encode(check) + b"\n"

    def signature(self, domain, message):
        return ed25519(self.seed, blake(bytes([len(domain)]) + domain + message, 32))


def fingerprint(coordinator, client):
    data = b"WITAN-fingerprint-v1" + coordinator.sign + coordinator.transport
    words = struct.unpack(">6H", blake(data + client.sign + client.transport, 32)[:12])
    con, vo = "bdfghjklmnprstvz", "aiou"
    return "-".join(con[w >> 12] + vo[w >> 10 & 3] + con[w >> 6 & 15] + vo[w >> 4 & 3] +
                    con[w & 15] for w in words)


def join_line(coordinator, token, secret, endpoint, name, version=1, more=b""):
    data = bytes([version]) + coordinator.sign + coordinator.transport + token + secret
    data += bytes([len(endpoint)]) + endpoint + bytes([len(name)]) + name + more
    data += blake(b"WITAN-join-line-v1" + data, 32)[:8]
    return b"witan1:" + base64.urlsafe_b64encode(data).rstrip(b"=")


def draw(label, size=32):
    """Bytes that look random and are always the same."""
    return blake(b"witan golden " + label.encode(), size)


def write(name, title, values):
    with open(os.path.join(OUT, name), "w", encoding="ascii") as out:
        out.write("# %s\n# Made by tests/golden/gen/secure.py.\n" % title)
        for key, value in values.items():
            out.write("%s %s\n" % (key, value.hex()))


def corpus(target, name, data):
    folder = os.path.join(CORPUS, target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as out:
        out.write(data)


def main():
    check_primitives()
    check_noise()
    coordinator = Identity(draw("coordinator seed"), draw("coordinator transport"))
    client = Identity(draw("client seed"), draw("client transport"))
    token, secret = draw("token", 8), draw("secret")
    endpoint, name = b"tcp://fl.example.org:7741", b"site-a"
    line = join_line(coordinator, token, secret, endpoint, name)
    door = clamp(blake(b"WITAN-join-door-v1", 32, key=secret))
    join_psk = blake(b"WITAN-join-psk-v1", 32, key=secret)
    psk = blake(b"WITAN-peer-psk-v1" + client.sign, 32, key=join_psk)
    domain, message = b"WITAN-upload-v1", b"a digest, for example"
    write("keys.txt", "Identities, key files, signatures, join lines and what follows from them.", {
        "coordinator_file": coordinator.file(), "coordinator_sign": coordinator.sign,
        "coordinator_transport": coordinator.transport,
        "coordinator_secret": coordinator.secret, "coordinator_id": coordinator.id,
        "client_file": client.file(), "client_sign": client.sign,
        "client_transport": client.transport, "client_id": client.id,
        "fingerprint": fingerprint(coordinator, client).encode(),
        "fingerprint_swapped": fingerprint(client, coordinator).encode(),
        "domain": domain, "message": message,
        "signature": client.signature(domain, message),
        "token": token, "secret": secret, "endpoint": endpoint, "name": name,
        "line": line, "newer_line": join_line(coordinator, token, secret, endpoint, name, 2),
        "bad_endpoint_line": join_line(coordinator, token, secret, b"udp://a:1", name),
        "bad_name_line": join_line(coordinator, token, secret, endpoint, b"a b"),
        "longer_line": join_line(coordinator, token, secret, endpoint, name, 1, b"\0"),
        "nul_name_line": join_line(coordinator, token, secret, endpoint, b"a\0b"),
        "door_secret": door, "door_public": x25519_public(door),
        "join_psk": join_psk, "peer_psk": psk,
    })

    prologue, session = b"WTN1 golden prologue", draw("session", 16)
    client_e, coordinator_e = draw("client ephemeral"), draw("coordinator ephemeral")
    hello_payload, welcome_payload = b"hello payload", b""
    noise = Noise(coordinator.transport, prologue)
    hello = header(HELLO, 80 + len(hello_payload))
    noise.mix(hello)
    hello += noise.message_1(client.secret, client_e, coordinator.transport, hello_payload)
    welcome = header(WELCOME, 32 + len(welcome_payload), session, sender=coordinator.id)
    noise.mix(welcome)
    welcome += noise.message_2(coordinator_e, client.transport, x25519_public(client_e), psk,
                               welcome_payload)
    up, down = noise.split()
    ways = {"up": Way(up, session, client.id, 2), "down": Way(down, session, coordinator.id, 3)}
    values = {
        "prologue": prologue, "psk": psk, "session": session, "client_ephemeral": client_e,
        "coordinator_ephemeral": coordinator_e, "hello_payload": hello_payload,
        "welcome_payload": welcome_payload, "hello": hello, "welcome": welcome,
        "hash": noise.h[:32], "up_messages": b"\2", "down_messages": b"\3",
    }
    rounds = [0, 1, 2**40 + 7, 2**64 - 1, 3, 4, 5]
    for i, round_ in enumerate(rounds):
        plain = draw("plain %d" % i, 64) * i
        plain = plain[:len(plain) - i]
        values["plain_%d" % i] = plain
        values["round_%d" % i] = struct.pack("<Q", round_)
        for way in ways:
            values["%s_%d" % (way, i)] = ways[way].seal(round_, plain)
    values["alert"] = header(ALERT, 0) + b"\1"
    write("session.txt", "A handshake and both directions of a session; 2 and 3 messages per epoch.",
          values)

    for target in ("envelope", "handshake"):
        corpus(target, "hello", hello)
        corpus(target, "welcome", welcome)
    for i in (0, 1, 2, 3):
        corpus("envelope", "up_%d" % i, values["up_%d" % i])
        corpus("envelope", "down_%d" % i, values["down_%d" % i])
    corpus("envelope", "alert", values["alert"])
    corpus("envelope", "cut", values["up_3"][:-1])
    corpus("envelope", "claims_much", values["up_3"][:52] + b"\xff" * 4 + values["up_3"][56:])
    corpus("handshake", "zero_ephemeral", hello[:56] + bytes(32) + hello[88:])
    corpus("handshake", "cut", hello[:100])
    corpus("handshake", "version_2", hello[:4] + b"\2" + hello[5:])
    corpus("join_line", "line", line)
    corpus("join_line", "spaces", b" \t" + line + b"\r\n")
    corpus("join_line", "upper", line.upper())
    corpus("join_line", "cut", line[:-5])
    corpus("join_line", "newer", join_line(coordinator, token, secret, endpoint, name, 2))
    corpus("join_line", "prefix", b"witan2:AAAA")
    for i, host in enumerate([b"tcp://[2001:db8::1]:7741", b"tcp://192.0.2.1:65535",
                              b"tcp://a.b-c.example:1", b"tcp://[::ffff:1.2.3.4]:80",
                              b"tcp://256.1.1.1:1", b"tcp://h:0", b"tcp://*:*", b"tcp://-a:1"]):
        corpus("join_line", "host_%d" % i, join_line(coordinator, token, secret, host, name))
    corpus("key_file", "key", client.file())
    corpus("key_file", "crlf", client.file().replace(b"\n", b"\r\n"))
    corpus("key_file", "version_2", client.file().replace(b"KEY-1", b"KEY-2"))
    corpus("key_file", "cut", client.file()[:-1])
    corpus("key_file", "longer", client.file() + b"\n")


if __name__ == "__main__":
    main()
