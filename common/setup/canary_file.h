/* canary_file.h - a canary plan as a JSON file, and planted into a world.
 * Why here: simulator, client daemon, audit and the command that draws plans must read
 * the same file and plant the same rows. The format is in docs/privacy.md.
 * Nothing is believed: a plan is checked against its own digest, the vocabulary and the
 * clients of the experiment. */
#ifndef WITAN_SETUP_CANARY_FILE_H
#define WITAN_SETUP_CANARY_FILE_H

#include "privacy/canary.h"
#include "setup/world.h"

#define WITAN_CANARY_PLAN_BYTES_MAX ((size_t)64 << 20)

/* As the file and options spell them; NULL beyond the last. */
const char *witan_canary_kind_name(witan_canary_kind kind);
const char *witan_canary_placement_name(witan_canary_placement placement);
const char *witan_canary_transfer_name(witan_canary_transfer transfer);

/* The plan as JSON, canonical: read and written again it is the same bytes. */
void witan_canary_plan_write(const witan_canary_plan *self,
                             const witan_vocabulary *vocabulary, witan_text *out);

/* vocabulary: of the world's text, NULL when it holds features. Owned by the caller.
 * Errors: E_CONFIG (not a plan, another version, written for another vocabulary or
 * number of classes, a digest that does not fit: somebody changed it), E_LIMIT,
 * E_MEMORY; the sentence names `origin`. */
WITAN_NODISCARD witan_status witan_canary_plan_read(witan_canary_plan *out,
                                                    const char *json, size_t size,
                                                    const char *origin,
                                                    const witan_vocabulary *vocabulary,
                                                    const witan_allocator *allocator,
                                                    witan_diag *diag);

/* A window of the transfer set that shows the template. */
typedef struct witan_probe {
    uint32_t window; /* position in the transfer part */
    uint32_t offset; /* of the template's first token in the window */
    uint32_t canary; /* which one, or UINT32_MAX: another fill */
} witan_probe;

/* Plants a plan: rows are appended to the training set and to the holders' private
 * parts (repetitions times each), rows to the transfer part as the plan says (none
 * when no knowledge travels).
 * Windows are copies of random ones of the holder (or of the transfer set) with the
 * canary written over them. Noise is spread over the bytes, or over each feature's
 * range in the training rows. Streams of (plan seed, client, 0, CANARY), of the
 * transfer set (plan seed, WITAN_CLIENT_NONE, 1, CANARY). The world's digest changes.
 * Once per world; after an error it is only to be freed.
 * Errors: E_CONFIG (other data than the plan was drawn for; the template is longer than
 * a window; a holder that is no client; a canary that already stands in the training,
 * validation, test or transfer text, or twice in the plan: names it), E_STATE (planted
 * already), E_LIMIT, E_MEMORY. */
WITAN_NODISCARD witan_status witan_world_plant(witan_world *self,
                                               const witan_canary_plan *plan,
                                               const witan_allocator *allocator,
                                               witan_diag *diag);

/* The same for a data set of which a deployed client `client` holds rows own
 * [own_count] (NULL: all): rows are appended to `set`, their indices to *rows (owned by
 * the caller) [*count]. Windows are copies of its own. MISLABELLED canaries need a test
 * set: E_CONFIG. */
WITAN_NODISCARD witan_status
witan_dataset_plant(witan_dataset *set, const uint32_t *own, size_t own_count,
                    const witan_canary_plan *plan, uint32_t client, uint32_t **rows,
                    size_t *count, const witan_allocator *allocator, witan_diag *diag);

#endif
