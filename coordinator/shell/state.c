/* state.c - the state directory and the experiment, at the start of a coordinator. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "coordinator/shell/server_private.h"
#include "data/package.h"
#include "nn/network.h"
#include "setup/setup.h"
#include "setup/world.h"
#include "store/file.h"
#include "store/secret_file.h"

/* --- identity --------------------------------------------------------------------- */

static witan_status
read_identity(witan_server *self, const char *path, witan_diag *diag)
{
    char file[WITAN_KEY_FILE_MAX];
    size_t size = 0;
    witan_status status = witan_secret_file_read(path, file, sizeof file, &size, diag);
    if (status == WITAN_OK) {
        status = witan_identity_parse(&self->identity, file, size, diag);
        if (status != WITAN_OK) {
            (void)witan_diag_prefix(diag, "%s", path);
        }
    }
    witan_wipe(file, sizeof file);
    return status;
}

static witan_status
make_identity(witan_server *self, const char *path, witan_diag *diag)
{
    char file[WITAN_KEY_FILE_MAX];
    size_t size = 0;
    char *known = NULL;
    WITAN_TRY(witan_ledger_setting(self->ledger, "identity_sign", &known, diag));
    if (known != NULL) {
        witan_free(self->allocator, known);
        return witan_diag_fail(diag, WITAN_E_STATE,
                               "%s is missing, and clients know the coordinator by it; "
                               "put it back from a backup",
                               path);
    }
    if (witan_identity_new(&self->identity) != WITAN_OK) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory for keys");
    }
    witan_identity_format(self->identity, file, &size);
    witan_status status = witan_secret_file_write(path, file, size, diag);
    witan_wipe(file, sizeof file);
    return status;
}

static witan_status
open_directory(witan_server *self, witan_diag *diag)
{
    const char *directory = self->options.directory;
    char path[WITAN_PATH_MAX];
    WITAN_TRY(witan_secret_directory_make(directory, diag));
    WITAN_TRY(witan_directory_lock_take(&self->lock, directory, self->allocator, diag));
    WITAN_TRY(witan_ledger_open(&self->ledger, directory, true, self->allocator, diag));
    int length = snprintf(path, sizeof path, "%s/identity.key", directory);
    if (length < 0 || (size_t)length >= sizeof path) {
        return witan_diag_fail(diag, WITAN_E_LIMIT, "%.64s...: path too long",
                               directory);
    }
    WITAN_TRY(witan_path_exists(path) ? read_identity(self, path, diag)
                                      : make_identity(self, path, diag));
    witan_federation_id(self->federation, witan_identity_public(self->identity)->sign);
    return WITAN_OK;
}

/* --- the experiment --------------------------------------------------------------- */

static witan_status
out_of_memory(witan_diag *diag)
{
    return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory for the experiment");
}

static witan_status
write_config(witan_server *self, const witan_config *config, witan_text *out,
             witan_diag *diag)
{
    witan_text_init(out, self->allocator, 4 * WITAN_CONFIG_BYTES_MAX);
    witan_config_write(config, out);
    return out->status == WITAN_OK ? WITAN_OK : out_of_memory(diag);
}

/* Into self->config: the stored experiment, or the given one when there is none yet. */
static witan_status
read_experiment(witan_server *self, const char *stored, witan_diag *diag)
{
    witan_text given;
    if (witan_config_init(&self->config, self->allocator) != WITAN_OK) {
        return out_of_memory(diag);
    }
    if (stored != NULL) {
        return witan_config_read(&self->config, stored, strlen(stored),
                                 "witan.db: experiment", self->allocator, diag);
    }
    if (self->options.config == NULL) {
        return witan_diag_fail(diag, WITAN_E_STATE,
                               "%s: no experiment here yet; give one",
                               self->options.directory);
    }
    witan_status status = write_config(self, self->options.config, &given, diag);
    if (status == WITAN_OK) { /* a copy of our own */
        status = witan_config_read(&self->config, given.data, given.length,
                                   "experiment", self->allocator, diag);
    }
    witan_text_fini(&given);
    return status;
}

static witan_status
check_same_experiment(witan_server *self, witan_diag *diag)
{
    witan_text given, kept;
    if (self->options.config == NULL) {
        return WITAN_OK;
    }
    witan_status status = write_config(self, self->options.config, &given, diag);
    if (status == WITAN_OK) {
        status = write_config(self, &self->config, &kept, diag);
        if (status == WITAN_OK && (given.length != kept.length ||
                                   memcmp(given.data, kept.data, kept.length) != 0)) {
            status = witan_diag_fail(
                diag, WITAN_E_STATE,
                "%s: state of another experiment; use a new state directory, or give "
                "no experiment to go on with that one",
                self->options.directory);
        }
        witan_text_fini(&kept);
    }
    witan_text_fini(&given);
    return status;
}

static witan_status
check_deployable(const witan_server *self, const witan_world *world, witan_diag *diag)
{
    const witan_config *config = &self->config;
    if (world->strategy->pools_data) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "fusion.key: \"%s\" pools everybody's data, which never "
                               "leave their owners here; use knfu, mean, fedavg or "
                               "local, or witan sim",
                               world->strategy->key);
    }
    if (config->data.path[0] == '\0' &&
        config->data.partition.key == WITAN_PARTITION_FILE) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "data.partition.key: clients cannot read the "
                               "coordinator's partition file; use another partition of "
                               "the embedded data");
    }
    return WITAN_OK;
}

/* The experiment as clients get it: nothing of this machine's files is in it. */
static witan_status
write_plan(witan_server *self, const witan_world *world, witan_diag *diag)
{
    witan_config plan = self->config; /* borrows models */
    plan.data.path[0] = plan.transfer.path[0] = plan.data.partition.path[0] = '\0';
    plan.transfer.format = WITAN_DATA_AUTO;
    plan.data.format = world->train.length != 0 ? WITAN_DATA_TEXT : WITAN_DATA_AUTO;
    if (plan.data.partition.key == WITAN_PARTITION_FILE) {
        plan.data.partition.key = WITAN_PARTITION_IID;
    }
    if (self->config.transfer.path[0] != '\0' ||
        self->config.data.partition.key == WITAN_PARTITION_FILE) {
        plan.transfer.samples = world->transfer.count; /* 0 would not do any more */
    }
    WITAN_TRY(witan_config_check(&plan, diag));
    witan_text_init(&self->plan, self->allocator, WITAN_PLAN_BYTES_MAX);
    witan_config_write(&plan, &self->plan);
    if (self->plan.status == WITAN_E_LIMIT) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "the experiment is longer than the %zu bytes that "
                               "clients take; use fewer or shorter models",
                               WITAN_PLAN_BYTES_MAX);
    }
    return self->plan.status == WITAN_OK ? WITAN_OK : out_of_memory(diag);
}

/* Floats that travel under fedavg. */
static witan_status
count_parameters(witan_server *self, const witan_world *world, size_t *out,
                 witan_diag *diag)
{
    witan_network network;
    const witan_input input = witan_world_input(world);
    WITAN_TRY(witan_network_init(&network, self->allocator, &self->config.models[0],
                                 &input, diag));
    *out = witan_network_parameters(&network);
    witan_network_fini(&network);
    return WITAN_OK;
}

static witan_status
make_core_config(witan_server *self, const witan_world *world, witan_diag *diag)
{
    witan_coordinator_config *core = &self->core_config;
    witan_learning_plan plan;
    const witan_input input = witan_world_input(world);
    witan_setup_plan(&plan, &self->config, &input, world->transfer);
    witan_setup_coordinator(core, &self->config);
    core->strategy = world->strategy;
    core->presence = true;
    core->kind = plan.kind;
    core->codec = plan.codec;
    core->rows = witan_plan_labels(&plan);
    core->classes = plan.classes;
    self->transfer_rows = world->transfer.count;
    if (world->strategy->exchange == WITAN_EXCHANGE_PARAMETERS) {
        WITAN_TRY(count_parameters(self, world, &core->parameters, diag));
        self->upload_bytes = core->parameters * sizeof(float);
    } else if (world->strategy->exchange == WITAN_EXCHANGE_KNOWLEDGE) {
        self->upload_bytes =
            witan_soft_labels_size(core->codec, core->rows, core->classes);
        WITAN_TRY(witan_world_package(&self->package, &self->package_size, world,
                                      self->allocator, diag));
        witan_package_digest(self->package, self->package_size, self->package_digest);
    }
    bool travels = world->strategy->exchange != WITAN_EXCHANGE_NONE;
    return self->upload_bytes <= WITAN_UPLOAD_BYTES_MAX &&
                   (self->upload_bytes > 0 || !travels)
               ? WITAN_OK
               : witan_diag_fail(
                     diag, WITAN_E_CONFIG,
                     "a client's knowledge would be longer than 4 GiB; use "
                     "fewer transfer.samples, extract.codec top or a smaller "
                     "model");
}

/* The data are those of the first start: rounds before and after a restart are of one
 * experiment. */
static witan_status
check_world(witan_server *self, const witan_world *world, witan_diag *diag)
{
    witan_text text;
    uint8_t digest[WITAN_DIGEST_SIZE];
    char hex[WITAN_DIGEST_HEX_SIZE];
    char *stored = NULL;
    witan_text_init(&text, self->allocator, 4 * WITAN_CONFIG_BYTES_MAX);
    witan_config_identity(&self->config, &text);
    if (text.status != WITAN_OK) {
        witan_text_fini(&text);
        return out_of_memory(diag);
    }
    witan_world_digest(world, &text, digest);
    witan_text_fini(&text);
    witan_digest_hex(hex, digest);
    WITAN_TRY(witan_ledger_setting(self->ledger, "world", &stored, diag));
    bool same = stored == NULL || strcmp(stored, hex) == 0;
    bool known = stored != NULL;
    witan_free(self->allocator, stored);
    if (!same) {
        return witan_diag_fail(diag, WITAN_E_STATE,
                               "%s: the data have changed since this experiment began; "
                               "restore them or use a new state directory",
                               self->config.data.path[0] != '\0'
                                   ? self->config.data.path
                                   : "embedded data");
    }
    return known ? WITAN_OK : witan_ledger_set(self->ledger, "world", hex, diag);
}

/* Only what clients need of the data stays in memory. */
static witan_status
load_world(witan_server *self, witan_diag *diag)
{
    witan_world *world = witan_zalloc(self->allocator, 1, sizeof *world);
    if (world == NULL) {
        return out_of_memory(diag);
    }
    witan_status status = witan_world_load(world, &self->config, self->allocator, diag);
    if (status == WITAN_OK) {
        status = check_deployable(self, world, diag);
    }
    if (status == WITAN_OK) {
        status = write_plan(self, world, diag);
    }
    if (status == WITAN_OK) {
        status = make_core_config(self, world, diag);
    }
    if (status == WITAN_OK) {
        status = check_world(self, world, diag);
    }
    witan_world_fini(world, self->allocator);
    witan_free(self->allocator, world);
    return status;
}

static witan_status
store_settings(witan_server *self, witan_diag *diag)
{
    const witan_public_identity *identity = witan_identity_public(self->identity);
    char hex[WITAN_DIGEST_HEX_SIZE], number[32];
    witan_text config;
    witan_status status = write_config(self, &self->config, &config, diag);
    if (status == WITAN_OK) {
        status = witan_ledger_set(self->ledger, "experiment", config.data, diag);
    }
    witan_text_fini(&config);
    WITAN_TRY(status);
    (void)snprintf(number, sizeof number, "%zu", self->config.clients);
    WITAN_TRY(witan_ledger_set(self->ledger, "seats", number, diag));
    witan_digest_hex(hex, identity->sign);
    WITAN_TRY(witan_ledger_set(self->ledger, "identity_sign", hex, diag));
    witan_digest_hex(hex, identity->transport);
    return witan_ledger_set(self->ledger, "identity_transport", hex, diag);
}

witan_status
server_state_open(witan_server *self, witan_diag *diag)
{
    char *stored = NULL;
    WITAN_TRY(open_directory(self, diag));
    WITAN_TRY(witan_ledger_setting(self->ledger, "experiment", &stored, diag));
    witan_status status = read_experiment(self, stored, diag);
    witan_free(self->allocator, stored);
    WITAN_TRY(status);
    WITAN_TRY(check_same_experiment(self, diag));
    WITAN_TRY(witan_config_check(&self->config, diag));
    WITAN_TRY(load_world(self, diag));
    WITAN_TRY(witan_ledger_begin(self->ledger, diag));
    status = store_settings(self, diag);
    if (status != WITAN_OK) {
        witan_ledger_rollback(self->ledger);
        return status;
    }
    return witan_ledger_commit(self->ledger, diag);
}

/* --- where clients find us -------------------------------------------------------- */

/* The first IPv4 address that is not this machine talking to itself, else its name. */
static void
own_address(char *out, size_t room)
{
    struct ifaddrs *list = NULL;
    out[0] = '\0';
    if (getifaddrs(&list) == 0) {
        for (const struct ifaddrs *at = list; at != NULL; at = at->ifa_next) {
            struct sockaddr_in address;
            if (at->ifa_addr == NULL || at->ifa_addr->sa_family != AF_INET ||
                (at->ifa_flags & IFF_LOOPBACK) != 0 || (at->ifa_flags & IFF_UP) == 0) {
                continue;
            }
            memcpy(&address, at->ifa_addr, sizeof address);
            if (inet_ntop(AF_INET, &address.sin_addr, out, (socklen_t)room) != NULL) {
                break;
            }
            out[0] = '\0';
        }
        freeifaddrs(list);
    }
    if (out[0] == '\0' && gethostname(out, room) != 0) {
        (void)snprintf(out, room, "localhost");
    }
    out[room - 1] = '\0';
}

witan_status
server_state_advertise(witan_server *self, witan_diag *diag)
{
    char host[128];
    const char *bound = self->endpoint;
    const char *colon = strrchr(bound, ':');
    if (self->options.advertise != NULL) {
        (void)snprintf(self->advertised, sizeof self->advertised, "%s",
                       self->options.advertise);
    } else if (strncmp(bound, "tcp://0.0.0.0:", 14) == 0 ||
               strncmp(bound, "tcp://[::]:", 11) == 0 ||
               strncmp(bound, "tcp://*:", 8) == 0) {
        own_address(host, sizeof host);
        (void)snprintf(self->advertised, sizeof self->advertised, "tcp://%s%s", host,
                       colon);
    } else {
        (void)snprintf(self->advertised, sizeof self->advertised, "%s", bound);
    }
    WITAN_TRY(witan_endpoint_check(self->advertised, false, diag));
    return witan_ledger_set(self->ledger, "endpoint", self->advertised, diag);
}
