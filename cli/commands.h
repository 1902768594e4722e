/* commands.h - the subcommands of `witan`, one file each. argv[0] is the subcommand's
 * own name. Each returns the program's exit code (base/status.h). */
#ifndef WITAN_CLI_COMMANDS_H
#define WITAN_CLI_COMMANDS_H

int witan_command_sim(int argc, char **argv);
int witan_command_data(int argc, char **argv);

int witan_command_canary(int argc, char **argv);
int witan_command_audit(int argc, char **argv);
int witan_command_epsilon(int argc, char **argv);

int witan_command_coordinator(int argc, char **argv);
int witan_command_invite(int argc, char **argv);
int witan_command_peers(int argc, char **argv);

int witan_command_join(int argc, char **argv);
int witan_command_client(int argc, char **argv);

int witan_command_status(int argc, char **argv);
int witan_command_doctor(int argc, char **argv);

#endif
