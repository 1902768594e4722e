#include "cli/state.h"

#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "store/file.h"

witan_status
witan_state_path(char path[WITAN_PATH_MAX], const char *directory, const char *name,
                 witan_diag *diag)
{
    int length = snprintf(path, WITAN_PATH_MAX, "%s/%s", directory, name);
    return length > 0 && length < (int)WITAN_PATH_MAX
               ? WITAN_OK
               : witan_diag_fail(diag, WITAN_E_CONFIG, "%.64s...: the path is too long",
                                 directory);
}

witan_status
witan_state_kind_of(witan_state_kind *out, const char *directory, witan_diag *diag)
{
    static const char *const files[] = {"witan.db", "membership.key"};
    char path[WITAN_PATH_MAX];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        WITAN_TRY(witan_state_path(path, directory, files[i], diag));
        errno = 0;
        if (access(path, F_OK) == 0) {
            *out = (witan_state_kind)i;
            return WITAN_OK;
        }
        if (errno == EACCES) {
            return witan_diag_fail(diag, WITAN_E_IO,
                                   "cannot look into %s: %s; run this as the user that "
                                   "owns it",
                                   directory, strerror(errno));
        }
    }
    return witan_diag_fail(diag, WITAN_E_STATE,
                           "%s: no coordinator (witan.db) and no client "
                           "(membership.key) works there; name the directory that was "
                           "given to witan coordinator or witan join",
                           directory);
}

/* Whether a number that a killed process left behind was given to another program. */
static bool
is_witan(uint64_t process)
{
    char path[64], name[32] = "";
    (void)snprintf(path, sizeof path, "/proc/%llu/comm", (unsigned long long)process);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return true; /* no /proc here: believe the lock file */
    }
    size_t length = fread(name, 1, sizeof name - 1, file);
    (void)fclose(file);
    return length >= 5 && memcmp(name, "witan", 5) == 0;
}

uint64_t
witan_state_holder(const char *directory)
{
    char path[WITAN_PATH_MAX], text[24] = "";
    uint64_t process;
    if (witan_state_path(path, directory, "lock", NULL) != WITAN_OK) {
        return 0;
    }
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    size_t length = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    text[length] = '\0';
    text[strcspn(text, "\n")] = '\0';
    if (!witan_text_parse_u64(text, &process) || process == 0 || process > INT32_MAX ||
        (kill((pid_t)process, 0) != 0 && errno != EPERM) || !is_witan(process)) {
        return 0;
    }
    return process;
}

witan_status
witan_state_default(char path[WITAN_PATH_MAX], const char *name, witan_diag *diag)
{
    char below[128];
    const char *state = getenv("XDG_STATE_HOME");
    (void)snprintf(below, sizeof below, "witan/%s", name);
    if (state != NULL && state[0] == '/') { /* others are to be ignored */
        return witan_state_path(path, state, below, diag);
    }
    const char *home = getenv("HOME");
    if (home == NULL || home[0] != '/') {
        const struct passwd *user = getpwuid(geteuid());
        home = user == NULL ? NULL : user->pw_dir;
    }
    if (home == NULL) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "this user has no home directory; say where to keep the "
                               "keys with --state DIR");
    }
    (void)snprintf(below, sizeof below, ".local/state/witan/%s", name);
    return witan_state_path(path, home, below, diag);
}
