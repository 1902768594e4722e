/* rotation.c - a new transport key without a moment at which a crash loses both: the
 * new one is a file before it is announced, and becomes the key when the coordinator
 * has opened a session with it. While both exist, attempts alternate. */
#include <string.h>
#include <unistd.h>

#include "client/shell/node_private.h"

const witan_identity *
node_rotation_identity(node *self)
{
    self->uses_next = self->next_identity != NULL &&
                      self->rotations < NODE_ROTATIONS_MAX && self->failures % 2 == 0;
    return self->uses_next ? self->next_identity : self->identity;
}

static void
forget_new_file(const node *self)
{
    char path[WITAN_PATH_MAX];
    if (node_path(path, self->directory, NODE_IDENTITY_NEW, NULL) == WITAN_OK) {
        (void)unlink(path);
    }
}

void
node_rotation_worked(node *self)
{
    witan_diag diag = {0};
    if (self->next_identity == NULL) {
        return;
    }
    if (!self->uses_next) {
        self->wants_rotate = self->rotations < NODE_ROTATIONS_MAX;
        return;
    }
    if (node_identity_save(self->next_identity, self->directory, NODE_IDENTITY,
                           &diag) != WITAN_OK) {
        node_say(self, "the new key cannot be kept: %s", diag.message);
        return; /* identity.key.new is still there: the next session tries again */
    }
    forget_new_file(self);
    /* The conversation under way borrows the new one. */
    witan_identity_free(&self->identity);
    self->identity = self->next_identity;
    self->next_identity = NULL;
    self->uses_next = false;
    node_say(self, "transport key changed");
}

static witan_status
make_next(node *self, witan_diag *diag)
{
    char text[WITAN_KEY_FILE_MAX];
    size_t size = 0;
    witan_identity *next = NULL;
    witan_identity_format(self->identity, text, &size);
    witan_status status = witan_identity_parse(&next, text, size, diag);
    witan_wipe(text, sizeof text);
    if (status == WITAN_OK) {
        status = witan_identity_rotate(next);
    }
    if (status == WITAN_OK) {
        status = node_identity_save(next, self->directory, NODE_IDENTITY_NEW, diag);
    }
    if (status != WITAN_OK) {
        witan_identity_free(&next);
        return witan_diag_fail(diag, status, "%s", witan_status_text(status));
    }
    self->next_identity = next;
    return WITAN_OK;
}

void
node_rotation_asked(node *self)
{
    witan_diag diag = {0};
    if (self->next_identity == NULL && make_next(self, &diag) != WITAN_OK) {
        node_say(self, "the coordinator asks for a new key: %s", diag.message);
        return;
    }
    self->rotations = 0;
    self->wants_rotate = true;
}

void
node_rotation_packet(const node *self, witan_packet *out)
{
    memset(out, 0, sizeof *out);
    out->kind = WITAN_PACKET_ROTATE;
    memcpy(out->is.rotate.transport_key,
           witan_identity_public(self->next_identity)->transport, WITAN_KEY_SIZE);
    witan_identity_sign(self->identity, NODE_DOMAIN_ROTATE,
                        out->is.rotate.transport_key, WITAN_KEY_SIZE,
                        out->is.rotate.proof);
}

void
node_rotation_said(node *self)
{
    self->wants_rotate = false;
    self->rotations++;
    node_disconnect(self, 0);
}
