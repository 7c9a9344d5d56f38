/* Asks the sim backend, whose plug-in ADZE_PLUGIN_PATH names, for its devices: what it prints is what the tests expect.
 */
#include <adze/adze.h>
#include <stdio.h>

int main(void) {
    int32_t count = 0;
    adze_device_info info = {.struct_size = sizeof info};
    if (adze_device_count(ADZE_BACKEND_SIM, &count) == ADZE_OK) printf("%d devices; ", (int)count);
    const adze_status status = adze_device_info_get(ADZE_BACKEND_SIM, 0, &info);
    printf("%s; %s\n", adze_status_name(status), adze_last_error());
    return 0;
}
