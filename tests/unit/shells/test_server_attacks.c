/* test_server_attacks.c - enrolled clients that lie, repeat, intrude or are revoked,
 * and a disk that is full: whoever misbehaves is refused by name or cut off, everybody
 * else goes on. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "store/ledger.h"
#include "test_server_robot.h"

static bool
begin(host *where, const char *name, robot *one, robot *two)
{
    host_init(where, name);
    robot_init(one, "site-a");
    robot_init(two, "site-b");
    return host_start(where) && robot_join(one, where) && robot_join(two, where) &&
           CHECK(robot_hear(one, WITAN_PACKET_OPEN, ROBOT_HEAR_MS)) &&
           CHECK(robot_hear(two, WITAN_PACKET_OPEN, ROBOT_HEAR_MS));
}

static void
end(host *where, robot *one, robot *two)
{
    robot_fini(one);
    robot_fini(two);
    CHECK_STATUS(host_stop(where, 2), WITAN_E_INTERRUPTED);
    host_fini(where);
}

/* Offers bytes as they are, serves them, and returns the reason of the refusal. */
static uint32_t
reason_for(robot *self, const witan_packet *offer, const uint8_t *bytes, size_t size)
{
    self->chunks = 0;
    robot_say(self, offer);
    if (!CHECK(robot_serve(self, offer->is.offer.round, bytes, size, SIZE_MAX))) {
        return UINT32_MAX;
    }
    return self->heard.kind == WITAN_PACKET_REFUSED ? self->heard.is.refused.reason
                                                    : (uint32_t)WITAN_REASON_NONE;
}

static void
bad_knowledge(void)
{
    host where;
    robot one, two;
    witan_packet offer;
    size_t size = 0;
    if (!begin(&where, "knowledge", &one, &two)) {
        return;
    }
    uint8_t *labels = robot_labels(&one, 0, where.rows, &size);
    robot_offer(&one, 0, where.rows, labels, size, &offer);

    offer.is.offer.signature[5] ^= 1;
    CHECK(reason_for(&one, &offer, labels, size) == WITAN_REASON_SIGNATURE);
    CHECK(one.chunks == 0);
    CHECK(host_has_event(&where, "upload-refused"));

    robot_offer(&one, 0, where.rows - 1, labels, size - 40, &offer);
    CHECK(reason_for(&one, &offer, labels, size) == WITAN_REASON_SHAPE);
    CHECK(one.chunks == 0); /* seen before a byte was fetched */
    robot_offer(&one, 1, where.rows, labels, size, &offer); /* a round to come */
    CHECK(reason_for(&one, &offer, labels, size) == WITAN_REASON_UNASKED);

    robot_offer(&one, 0, where.rows, labels, size, &offer);
    labels[size / 2] ^= 1; /* other bytes than those that were signed */
    CHECK(reason_for(&one, &offer, labels, size) == WITAN_REASON_DIGEST);
    CHECK(one.chunks == 2);
    labels[size / 2] ^= 1;

    float value = 0.5f; /* signed, but a row sums to 1.3 */
    memcpy(labels + 4 * HOST_CLASSES * sizeof value, &value, sizeof value);
    robot_offer(&one, 0, where.rows, labels, size, &offer);
    CHECK(reason_for(&one, &offer, labels, size) == WITAN_REASON_VALUES);
    free(labels);

    CHECK(robot_upload(&one, 0, where.rows)); /* all the same it may answer */
    CHECK(robot_upload(&one, 0, where.rows)); /* and say it twice */
    labels = robot_labels(&two, 0, where.rows, &size);
    robot_offer(&one, 0, where.rows, labels, size, &offer);
    CHECK(reason_for(&one, &offer, labels, size) == WITAN_REASON_CONFLICT);
    free(labels);
    CHECK(robot_upload(&two, 0, where.rows));
    CHECK(robot_fetch_fused(&two, 0));
    end(&where, &one, &two);
}

static void
chunks_nobody_asked_for(void)
{
    host where;
    robot one, two;
    size_t size = 0;
    if (!begin(&where, "chunks", &one, &two)) {
        return;
    }
    uint8_t *labels = robot_labels(&one, 0, where.rows, &size);
    witan_packet chunk = {.kind = WITAN_PACKET_CHUNK};
    chunk.is.chunk.what = WITAN_BLOB_KNOWLEDGE;
    chunk.is.chunk.data = labels;
    chunk.is.chunk.size = WITAN_CHUNK_BYTES;
    robot_say(&one, &chunk);
    CHECK(robot_is_cut(&one));
    CHECK(!robot_is_cut(&two));
    CHECK(host_has_event(&where, "chunk-refused"));

    CHECK(robot_join(&one, &where)); /* it may come again */
    witan_packet offer;
    robot_offer(&one, 0, where.rows, labels, size, &offer);
    robot_say(&one, &offer);
    CHECK(robot_hear(&one, WITAN_PACKET_GET, ROBOT_HEAR_MS));
    chunk.is.chunk.offset = 7; /* not where it was asked for */
    robot_say(&one, &chunk);
    CHECK(robot_is_cut(&one));
    CHECK(robot_join(&one, &where));
    CHECK(robot_upload(&one, 0, where.rows));
    free(labels);
    end(&where, &one, &two);
}

static void
frames_of_others(void)
{
    host where;
    robot one, two;
    const witan_packet ping = {.kind = WITAN_PACKET_PING};
    if (!begin(&where, "frames", &one, &two)) {
        return;
    }
    robot_say(&one, &ping);
    CHECK(robot_hear(&one, WITAN_PACKET_PONG, ROBOT_HEAR_MS));
    robot_say(&two, &ping);
    CHECK(robot_hear(&two, WITAN_PACKET_PONG, ROBOT_HEAR_MS));
    robot_send_raw(&one, two.last, two.last_size); /* of the other's session */
    CHECK(robot_is_cut(&one));
    CHECK(!robot_is_cut(&two)); /* whose session goes on */

    CHECK(robot_join(&one, &where));
    robot_say(&one, &ping);
    CHECK(robot_hear(&one, WITAN_PACKET_PONG, ROBOT_HEAR_MS));
    robot_repeat(&one); /* the same frame once more */
    CHECK(robot_is_cut(&one));
    CHECK(host_has_event(&where, "frame-refused"));

    /* On a new connection an old session is none: start again. */
    CHECK(robot_connect(&one, false) == WITAN_LINK_OPEN);
    robot_repeat(&one);
    CHECK(!robot_hear(&one, WITAN_PACKET_PONG, 500));
    robot_send_raw(&one, "WTN1 and then nothing that makes sense, for long enough", 56);
    CHECK(robot_join(&one, &where));
    CHECK(!robot_is_cut(&one));
    end(&where, &one, &two);
}

/* Packets that make no sense are answered and end nothing; too many HELLOs are. */
static void
odd_packets(void)
{
    host where;
    robot one, two;
    witan_packet packet = {.kind = WITAN_PACKET_ACCEPTED};
    if (!begin(&where, "odd", &one, &two)) {
        return;
    }
    robot_say(&one, &packet);
    CHECK(robot_hear(&one, WITAN_PACKET_REFUSED, ROBOT_HEAR_MS));
    CHECK(one.heard.is.refused.reason == WITAN_REASON_PROTOCOL);
    packet = (witan_packet){.kind = WITAN_PACKET_READY}; /* without a transfer set */
    robot_say(&one, &packet);
    CHECK(robot_hear(&one, WITAN_PACKET_REFUSED, ROBOT_HEAR_MS));
    CHECK(one.heard.is.refused.reason == WITAN_REASON_TRANSFER);
    packet = (witan_packet){.kind = WITAN_PACKET_GET};
    packet.is.get.what = WITAN_BLOB_TRANSFER;
    packet.is.get.offset = WITAN_PACKAGE_BYTES_MAX - 200;
    packet.is.get.size = 100;
    robot_say(&one, &packet);
    CHECK(robot_hear(&one, WITAN_PACKET_REFUSED, ROBOT_HEAR_MS));
    packet.is.get.offset = 0;
    robot_say(&one, &packet);
    CHECK(robot_hear(&one, WITAN_PACKET_CHUNK, ROBOT_HEAR_MS));
    CHECK(one.heard.is.chunk.size == 100);
    CHECK(memcmp(one.heard.is.chunk.data, "WTNTSET1", 8) == 0);

    robot_disconnect(&two);
    CHECK(robot_connect(&two, false) == WITAN_LINK_OPEN);
    bool busy = false;
    for (int i = 0; i < 30 && !busy; i++) {
        busy =
            !robot_shake(&two, false) && two.alerted && two.alert == WITAN_ALERT_BUSY;
    }
    CHECK(busy);
    CHECK(!robot_is_cut(&one));
    end(&where, &one, &two);
}

/* From the command to the dead session. */
static void
revoked_while_connected(void)
{
    host where;
    robot one, two;
    witan_diag diag = {0};
    if (!begin(&where, "revoke", &one, &two)) {
        return;
    }
    CHECK(robot_upload(&one, 0, where.rows));
    uint64_t since = host_now_ms();
    witan_ledger *ledger = host_ledger(&where);
    CHECK_STATUS(witan_ledger_peer_set_state(ledger,
                                             witan_identity_public(one.identity)->sign,
                                             WITAN_PEER_REVOKED, &diag),
                 WITAN_OK);
    witan_ledger_close(&ledger);
    CHECK(robot_hear(&one, WITAN_PACKET_REFUSED, ROBOT_HEAR_MS));
    CHECK(one.heard.is.refused.reason == WITAN_REASON_REVOKED);
    while (witan_link_state_of(one.link) == WITAN_LINK_OPEN &&
           host_now_ms() - since < 3000) {
        (void)witan_link_wait(one.link, NULL, 0, 10);
    }
    uint64_t took = host_now_ms() - since;
    (void)printf("    revoked and cut after %u ms\n", (unsigned)took);
    CHECK(took < 3000);
    CHECK(robot_connect(&one, false) != WITAN_LINK_OPEN);
    CHECK(!robot_is_cut(&two));

    /* Its seat is free for somebody else, who takes part from the next round on; this
     * one ends without fusion, because too few are left. */
    robot three;
    robot_init(&three, "site-c");
    CHECK(robot_upload(&two, 0, where.rows));
    CHECK(host_waits_to_say(&where, "round 1: not fused, 1 of at least 2 answered"));
    CHECK(robot_join(&three, &where));
    CHECK(three.seat == one.seat);
    CHECK(robot_hear(&three, WITAN_PACKET_OPEN, ROBOT_HEAR_MS));
    CHECK(three.heard.is.open.round == 1);
    CHECK(robot_upload(&three, 1, where.rows));
    robot_fini(&three);
    end(&where, &one, &two);
}

/* `witan peers rotate`: a new transport key, the old one is worth nothing. */
static void
rotation(void)
{
    host where;
    robot one, two;
    uint8_t old_public[WITAN_KEY_SIZE], proof[WITAN_SIGNATURE_SIZE];
    witan_packet packet = {.kind = WITAN_PACKET_ROTATE};
    if (!begin(&where, "rotation", &one, &two)) {
        return;
    }
    witan_ledger *ledger = host_ledger(&where);
    CHECK_STATUS(witan_ledger_peer_ask_rotation(
                     ledger, witan_identity_public(one.identity)->sign, NULL),
                 WITAN_OK);
    (void)host_waits_to_say(&where, "rotation"); /* the coordinator has looked */
    memcpy(old_public, witan_identity_public(one.identity)->transport, WITAN_KEY_SIZE);
    robot_disconnect(&one);
    CHECK(robot_attach(&one));
    CHECK(robot_hear(&one, WITAN_PACKET_ROTATE_REQUEST, ROBOT_HEAR_MS));
    CHECK_STATUS(witan_identity_rotate(one.identity), WITAN_OK);
    const uint8_t *fresh = witan_identity_public(one.identity)->transport;
    witan_identity_sign(one.identity, "WITAN-rotate-v1", fresh, WITAN_KEY_SIZE, proof);
    memcpy(packet.is.rotate.transport_key, fresh, WITAN_KEY_SIZE);
    memcpy(packet.is.rotate.proof, proof, sizeof proof);
    packet.is.rotate.proof[0] ^= 1;
    robot_say(&one, &packet);
    CHECK(robot_hear(&one, WITAN_PACKET_REFUSED, ROBOT_HEAR_MS));
    CHECK(one.heard.is.refused.reason == WITAN_REASON_SIGNATURE);
    packet.is.rotate.proof[0] ^= 1;
    robot_say(&one, &packet);
    CHECK(!robot_is_cut(&one));
    CHECK(robot_join(&one, &where)); /* with the new key */
    CHECK(robot_upload(&one, 0, where.rows));
    witan_peer peer;
    CHECK_STATUS(witan_ledger_peer(ledger, "site-a", &peer, NULL), WITAN_OK);
    CHECK(memcmp(peer.transport_key, fresh, WITAN_KEY_SIZE) == 0);
    CHECK(memcmp(peer.transport_key, old_public, WITAN_KEY_SIZE) != 0);
    CHECK(!peer.must_rotate);
    witan_ledger_close(&ledger);
    end(&where, &one, &two);
}

/* Three heartbeats without a frame: absent; nobody waits for it after round.absence. */
static void
silence(void)
{
    host where;
    robot one, two;
    const witan_packet ping = {.kind = WITAN_PACKET_PING};
    host_init(&where, "silence");
    host_set(&where, "round.minimum_clients=1");
    host_set(&where, "round.absence=0.2");
    host_set(&where, "round.grace=30");
    where.options.heartbeat_ms = 200;
    robot_init(&one, "site-a");
    robot_init(&two, "site-b");
    if (host_start(&where) && robot_join(&one, &where) && robot_join(&two, &where)) {
        CHECK(robot_hear(&one, WITAN_PACKET_OPEN, ROBOT_HEAR_MS));
        CHECK(robot_upload(&one, 0, where.rows));
        bool fused = false;
        for (int i = 0; i < 40 && !fused; i++) { /* the other one says nothing */
            robot_say(&one, &ping);
            fused = robot_hear(&one, WITAN_PACKET_FUSED, 100);
        }
        CHECK(fused);
        CHECK(host_has_said(&where, "site-b (absent 0 s)") ||
              host_has_said(&where, "fused 1 of 2"));
        CHECK(host_has_event(&where, "silent"));
    }
    end(&where, &one, &two);
}

/* Files cannot grow: uploads are refused with "try again", the round stays open. */
static void
full_disk(void)
{
    host where;
    robot one, two;
    struct rlimit before, small;
    witan_packet offer;
    size_t size = 0;
    if (!begin(&where, "full", &one, &two)) {
        return;
    }
    (void)signal(SIGXFSZ, SIG_IGN);
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    small = before;
    small.rlim_cur = 70000; /* one chunk of an upload fits, the second does not */
    CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
    uint8_t *labels = robot_labels(&one, 0, where.rows, &size);
    robot_offer(&one, 0, where.rows, labels, size, &offer);
    CHECK(reason_for(&one, &offer, labels, size) == WITAN_REASON_NO_SPACE);
    CHECK(one.heard.is.refused.retry_after_ms == 5000);
    CHECK(host_waits_to_say(&where, "cannot write the state"));
    CHECK(reason_for(&one, &offer, labels, size) == WITAN_REASON_NO_SPACE);
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK(reason_for(&one, &offer, labels, size) == WITAN_REASON_NONE);
    CHECK(one.chunks == 1); /* the first one was kept */
    CHECK(robot_upload(&two, 0, where.rows));
    CHECK(robot_fetch_fused(&one, 0));
    free(labels);
    end(&where, &one, &two);
}

/* Not even the opening of a round can be written: nobody is told of it until it is. */
static void
full_disk_between_rounds(void)
{
    host where;
    robot one, two;
    struct rlimit before, none;
    host_init(&where, "full-between");
    robot_init(&one, "site-a");
    robot_init(&two, "site-b");
    if (!host_start(&where) || !robot_join(&one, &where) || !robot_join(&two, &where) ||
        !CHECK(robot_hear(&one, WITAN_PACKET_OPEN, ROBOT_HEAR_MS)) ||
        !CHECK(robot_upload(&one, 0, where.rows)) ||
        !CHECK(robot_upload(&two, 0, where.rows)) ||
        !CHECK(robot_fetch_fused(&one, 0)) || !CHECK(robot_fetch_fused(&two, 0))) {
        return;
    }
    robot_done(&one, 0);
    CHECK(!robot_is_cut(&one));
    (void)signal(SIGXFSZ, SIG_IGN);
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    none = before;
    none.rlim_cur = 1;
    CHECK(setrlimit(RLIMIT_FSIZE, &none) == 0);
    robot_done(&two, 0);
    CHECK(!robot_hear(&one, WITAN_PACKET_OPEN, 1500));
    CHECK(host_has_said(&where, "cannot write the state"));
    CHECK(!robot_is_cut(&one));
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK(robot_hear(&one, WITAN_PACKET_OPEN, ROBOT_HEAR_MS));
    CHECK(one.heard.is.open.round == 1);
    CHECK(robot_upload(&one, 1, where.rows));
    end(&where, &one, &two);
}

int
main(void)
{
    RUN(bad_knowledge);
    RUN(chunks_nobody_asked_for);
    RUN(frames_of_others);
    RUN(odd_packets);
    RUN(revoked_while_connected);
    RUN(rotation);
    RUN(silence);
    RUN(full_disk);
    RUN(full_disk_between_rounds);
    return witan_test_finish();
}
