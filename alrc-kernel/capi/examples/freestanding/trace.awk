# Turns golden traces (step,element,loss_in,loss_out,grad_scale,mu1_after,mu2_after) into tables in C.
BEGIN { FS = ","; print "/* Made by trace.awk. */" }
{ sub(/\r$/, "") }
FNR == 1 {
    if (NR > 1) print "};"
    traces++
    printf "static const parameters parameters_%d = {", traces
    count = split("num_stddev decay mu1_start mu2_start", names, " ")
    for (i = 1; i <= count; i++) {
        match($0, names[i] "=[^ ]*")
        printf "%s, ", substr($0, RSTART + length(names[i]) + 1, RLENGTH - length(names[i]) - 1)
    }
    printf "};\nstatic const row rows_%d[] = {\n", traces
}
FNR > 2 { printf "    {%s, %s, %s, %s, %s, %s},\n", $1, $3, $4, $5, $6, $7 }
END {
    print "};\nstatic const trace traces[] = {"
    for (i = 1; i <= traces; i++) printf "    {&parameters_%d, rows_%d, sizeof rows_%d / sizeof(row)},\n", i, i, i
    print "};"
}
