#include "samples.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "knowledge/soft_labels.h"
#include "support/witan_test.h"

#define COPY(field, text) ((void)snprintf(field, sizeof(field), "%s", text))

static void
pattern(uint8_t *out, unsigned first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = (uint8_t)(first + i);
    }
}

static void
repeat(char *out, const char *text, size_t times)
{
    for (size_t i = 0; i < times; i++) {
        memcpy(out + i * strlen(text), text, strlen(text));
    }
}

static void
enroll(witan_packet *out)
{
    out->kind = WITAN_PACKET_ENROLL;
    pattern(out->is.enroll.sign_key, 0, 32);
    pattern(out->is.enroll.transport_key, 32, 32);
    pattern(out->is.enroll.proof, 64, 64);
}

static void
enrolled(witan_packet *out)
{
    out->kind = WITAN_PACKET_ENROLLED;
    out->is.enrolled.client = 99999;
    COPY(out->is.enrolled.name, "K\xc3\xa4the\xc2\xa0\xf0\x9f\x8f\xa5 \xe2\x9c\x93");
    out->is.enrolled.approved = true;
}

static void
attach(witan_packet *out)
{
    out->kind = WITAN_PACKET_ATTACH;
    COPY(out->is.attach.program, "witan 0.2.0");
}

static void
plan(witan_packet *out)
{
    out->kind = WITAN_PACKET_PLAN;
    out->is.plan.client = 3;
    repeat(out->is.plan.name, "a", 64);
    out->is.plan.experiment = "{\n\t\"seed\": 1\n}";
    out->is.plan.embedded_data = true;
    out->is.plan.has_transfer = true;
    pattern(out->is.plan.transfer_digest, 240, 32);
    out->is.plan.transfer_bytes = (uint64_t)1 << 30;
    out->is.plan.transfer_rows = (uint64_t)1 << 31;
    out->is.plan.classes = 65536;
    out->is.plan.parameters = (uint64_t)1 << 30;
}

static void
plan_least(witan_packet *out)
{
    out->kind = WITAN_PACKET_PLAN;
    out->is.plan.experiment = "";
}

static void
ready(witan_packet *out)
{
    out->kind = WITAN_PACKET_READY;
    out->is.ready.has_transfer = true;
    pattern(out->is.ready.transfer_digest, 1, 32);
    out->is.ready.samples = (uint64_t)1 << 31;
    COPY(out->is.ready.model, "mlp");
}

static void
ready_least(witan_packet *out)
{
    out->kind = WITAN_PACKET_READY;
}

static void
open(witan_packet *out)
{
    out->kind = WITAN_PACKET_OPEN;
    out->is.open.round = 999999;
    out->is.open.remaining_ms = UINT64_MAX;
}

static void
open_least(witan_packet *out)
{
    out->kind = WITAN_PACKET_OPEN;
}

static void
knowledge(witan_packet *out)
{
    out->kind = WITAN_PACKET_KNOWLEDGE;
    out->is.offer.round = 7;
    out->is.offer.kind = 1;
    out->is.offer.codec = 1;
    out->is.offer.rows = 300;
    out->is.offer.classes = 10;
    out->is.offer.total = 6000;
    pattern(out->is.offer.digest, 9, 32);
    out->is.offer.samples = 1234;
    pattern(out->is.offer.signature, 128, 64);
}

static void
knowledge_top(witan_packet *out)
{
    knowledge(out);
    out->is.offer.kind = WITAN_KNOWLEDGE_PROBABILITY;
    out->is.offer.codec = WITAN_CODEC_TOP(32);
    out->is.offer.classes = 5000;
    out->is.offer.total = 300 * 32 * 4;
}

static void
knowledge_parameters(witan_packet *out)
{
    knowledge(out);
    out->is.offer.kind = WITAN_PACKET_PARAMETERS;
    out->is.offer.codec = 0;
    out->is.offer.rows = 1;
    out->is.offer.classes = (uint64_t)1 << 30;
    out->is.offer.total = (uint64_t)1 << 32;
}

static void
accepted(witan_packet *out)
{
    out->kind = WITAN_PACKET_ACCEPTED;
    out->is.accepted.round = 3;
    out->is.accepted.late = true;
}

static void
refused(witan_packet *out)
{
    out->kind = WITAN_PACKET_REFUSED;
    out->is.refused.round = 1;
    out->is.refused.reason = UINT32_MAX;
    repeat(out->is.refused.text, "\xc3\xa9", 127);
    out->is.refused.text[254] = 'x';
    out->is.refused.retry_after_ms = UINT64_MAX;
}

static void
fused(witan_packet *out)
{
    out->kind = WITAN_PACKET_FUSED;
    out->is.offer.round = 7;
    out->is.offer.rows = 300;
    out->is.offer.classes = 10;
    out->is.offer.total = 12000;
    pattern(out->is.offer.digest, 9, 32);
}

static void
metric(witan_packet_metric *out, double accuracy, double loss, double ece)
{
    out->accuracy = accuracy;
    out->loss = loss;
    out->ece = ece;
}

static void
done(witan_packet *out)
{
    const double nan = (double)NAN;
    out->kind = WITAN_PACKET_DONE;
    out->is.done.round = 2;
    out->is.done.train_loss = nan;
    out->is.done.distill_loss = -1.5;
    metric(&out->is.done.own_before, 0.0, 0.0, 0.0);
    metric(&out->is.done.own_after, 1.0, 1e308, 1.0);
    metric(&out->is.done.global_before, nan, nan, nan);
    metric(&out->is.done.global_after, 0.5, 5e-324, 0.25);
}

static void
get(witan_packet *out)
{
    out->kind = WITAN_PACKET_GET;
    out->is.get.what = WITAN_BLOB_FUSED;
    out->is.get.round = 5;
    out->is.get.offset = UINT32_MAX;
    out->is.get.size = 65536;
}

static void
chunk(witan_packet *out)
{
    static uint8_t data[300];
    pattern(data, 7, sizeof data);
    out->kind = WITAN_PACKET_CHUNK;
    out->is.chunk.what = WITAN_BLOB_KNOWLEDGE;
    out->is.chunk.round = 5;
    out->is.chunk.offset = 131072;
    out->is.chunk.data = data;
    out->is.chunk.size = sizeof data;
}

static void
ping(witan_packet *out)
{
    out->kind = WITAN_PACKET_PING;
    out->is.ping.nonce = UINT64_MAX;
}

static void
pong(witan_packet *out)
{
    out->kind = WITAN_PACKET_PONG;
    out->is.ping.nonce = 1;
}

static void
rotate_request(witan_packet *out)
{
    out->kind = WITAN_PACKET_ROTATE_REQUEST;
}

static void
rotate(witan_packet *out)
{
    out->kind = WITAN_PACKET_ROTATE;
    pattern(out->is.rotate.transport_key, 3, 32);
    pattern(out->is.rotate.proof, 5, 64);
}

static void
bye(witan_packet *out)
{
    out->kind = WITAN_PACKET_BYE;
    out->is.bye.retry_after_ms = 5000;
    out->is.bye.finished = true;
    COPY(out->is.bye.text, "done");
}

static const struct {
    const char *name;
    void (*fill)(witan_packet *out);
} samples[SAMPLES] = {
    {"enroll", enroll},
    {"enrolled", enrolled},
    {"attach", attach},
    {"plan", plan},
    {"plan-least", plan_least},
    {"ready", ready},
    {"ready-least", ready_least},
    {"open", open},
    {"open-least", open_least},
    {"knowledge", knowledge},
    {"knowledge-top", knowledge_top},
    {"knowledge-parameters", knowledge_parameters},
    {"accepted", accepted},
    {"refused", refused},
    {"fused", fused},
    {"done", done},
    {"get", get},
    {"chunk", chunk},
    {"ping", ping},
    {"pong", pong},
    {"rotate_request", rotate_request},
    {"rotate", rotate},
    {"bye", bye},
};

const char *
sample_packet(witan_packet *out, size_t index)
{
    memset(out, 0, sizeof *out);
    samples[index].fill(out);
    return samples[index].name;
}

void
sample_named(witan_packet *out, const char *name)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        if (strcmp(samples[i].name, name) == 0) {
            (void)sample_packet(out, i);
            return;
        }
    }
    CHECK(!"a sample has this name");
}

size_t
sample_unhex(uint8_t *out, size_t room, const char *hex)
{
    size_t size = 0;
    for (; isxdigit((unsigned char)hex[0]) && size < room; hex += 2) {
        const char pair[] = {hex[0], hex[1], '\0'};
        out[size++] = (uint8_t)strtoul(pair, NULL, 16);
    }
    CHECK(*hex == '\n');
    return size;
}

size_t
sample_bytes(uint8_t out[SAMPLE_BYTES_MAX], const char *name)
{
    char *text = witan_test_read(
        WITAN_TEST_SOURCE_DIR "/tests/golden/vectors/wire/packets.txt", NULL);
    size_t size = 0, length = strlen(name);
    bool found = false;
    for (char *line = text; line != NULL && *line != '\0' && !found;) {
        found = strncmp(line, name, length) == 0 && line[length] == ' ';
        if (found) {
            size = sample_unhex(out, SAMPLE_BYTES_MAX, line + length + 1);
        }
        line = strchr(line, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    CHECK(found);
    free(text);
    return size;
}

bool
sample_equal(const witan_packet *a, const witan_packet *b)
{
    witan_packet left = *a, right = *b;
    if (left.kind == WITAN_PACKET_PLAN && right.kind == WITAN_PACKET_PLAN) {
        if (strcmp(left.is.plan.experiment, right.is.plan.experiment) != 0) {
            return false;
        }
        left.is.plan.experiment = right.is.plan.experiment = NULL;
    }
    if (left.kind == WITAN_PACKET_CHUNK && right.kind == WITAN_PACKET_CHUNK) {
        if (left.is.chunk.size != right.is.chunk.size ||
            memcmp(left.is.chunk.data, right.is.chunk.data, left.is.chunk.size) != 0) {
            return false;
        }
        left.is.chunk.data = right.is.chunk.data = NULL;
    }
    return memcmp(&left, &right, sizeof left) == 0;
}
