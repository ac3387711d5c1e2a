{{- define "sluice.fullname" -}}
{{- if contains "sluice" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-sluice{{ end }}
{{- end }}

{{/* Name of what belongs to one pipeline: (root, name). A StatefulSet's pods carry it with a hash of ten characters in a label. */}}
{{- define "sluice.name" -}}
{{- $name := printf "%s-%s" (include "sluice.fullname" .root) .name }}
{{- if gt (len $name) 52 }}{{ fail (printf "the release name %s is too long: with the pipeline %s the StatefulSet would be called `%s`, which is more than 52 characters" .root.Release.Name .name $name) }}{{ end }}
{{- $name }}
{{- end }}

{{/* (root, name) */}}
{{- define "sluice.selector" -}}
app.kubernetes.io/name: sluice
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{/* (root, name); without a name of what the pipelines share. */}}
{{- define "sluice.labels" -}}
app.kubernetes.io/name: sluice
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .name }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "sluice.serviceAccountName" -}}
{{- with .Values.serviceAccount }}{{ .name | default (ternary (include "sluice.fullname" $) "default" .create) }}{{ end }}
{{- end }}

{{/* (root, gpu) */}}
{{- define "sluice.image" -}}
{{- with .root.Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}
{{- else }}{{ .repository }}:{{ .tag | default $.root.Chart.AppVersion }}{{ if $.gpu }}-cuda{{ end }}
{{- end }}
{{- end }}
{{- end }}

{{/* (root, name) -> {files, flow, worker}: a pipeline as it was asked for, or why it cannot be. */}}
{{- define "sluice.pipeline" -}}
{{- $at := printf "pipelines.%s" .name }}
{{- $worker := mergeOverwrite (deepCopy .root.Values.worker) (deepCopy (index .root.Values.pipelines .name)) }}
{{- $files := $worker.files }}
{{- if not $files }}
{{- range $path, $bytes := .root.Files.Glob (printf "pipelines/%s/*" .name) }}
{{- $_ := set $files (base $path) (toString $bytes) }}
{{- end }}
{{- end }}
{{- if not (hasKey $files "pipeline.yaml") }}{{ fail (printf "%s.files: the chart has no pipelines/%s/pipeline.yaml; run `make helm`, or give the files with --set-file" $at .name) }}{{ end }}
{{- $bytes := 0 }}
{{- range $files }}{{ $bytes = add $bytes (len .) }}{{ end }}
{{- if gt (int64 $bytes) 1048576 }}{{ fail (printf "%s.files: %d bytes, and a ConfigMap takes 1048576; make the schemas smaller" $at $bytes) }}{{ end }}
{{- $flow := get $files "pipeline.yaml" | fromYaml }}
{{- if hasKey $flow "Error" }}{{ fail (printf "%s.files: pipeline.yaml is no YAML: %s" $at $flow.Error) }}{{ end }}
{{- if ne (toString $flow.name) .name }}{{ fail (printf "%s: its pipeline.yaml is named `%s`; use that name as the key" $at (toString $flow.name)) }}{{ end }}
{{- with $flow.model }}
{{- if not (regexMatch "^\\.\\./\\.\\./models/[^/]+/?$" (toString .)) }}{{ fail (printf "%s: its pipeline.yaml has model: `%s`; the chart puts it at /opt/sluice/pipelines/%s, so give ../../models/NAME" $at (toString .) $.name) }}{{ end }}
{{- end }}
{{- if and $flow.redact (not (hasKey .root.Values.secretFiles "SLUICE_REDACT_KEY_FILE")) }}{{ fail (printf "secretFiles.SLUICE_REDACT_KEY_FILE: is missing, and the pipeline %s redacts; give {secret, key} of a secret made of `openssl rand -hex 32`" .name) }}{{ end }}
{{- $partitions := int64 $worker.partitions }}
{{- $by := $worker.autoscaling.by }}
{{- $max := int64 $worker.autoscaling.max | default $partitions }}
{{- if and (eq $by "none") (gt (int64 $worker.replicas) $partitions) }}{{ fail (printf "%s.replicas: %d is more than partitions: %d; a pod without a partition does nothing" $at (int64 $worker.replicas) $partitions) }}{{ end }}
{{- if gt $max $partitions }}{{ fail (printf "%s.autoscaling.max: %d is more than partitions: %d; a pod without a partition does nothing" $at $max $partitions) }}{{ end }}
{{- if and (ne $by "none") (gt (int64 $worker.autoscaling.min) $max) }}{{ fail (printf "%s.autoscaling.min: %d is more than max: %d" $at (int64 $worker.autoscaling.min) $max) }}{{ end }}
{{- if and (eq $by "hpa") (lt (int64 $worker.autoscaling.min) 1) }}{{ fail (printf "%s.autoscaling.min: 0, and an HPA cannot start from nothing; give 1, or `by: keda`" $at) }}{{ end }}
{{- $models := $worker.models }}
{{- if and (eq $models.from "volume") (not $models.volume) }}{{ fail (printf "%s.models.volume: is empty; give a volume, such as persistentVolumeClaim: {claimName: models}" $at) }}{{ end }}
{{- if and (eq $models.from "oci") (not (and $models.oci.image $models.oci.reference)) }}{{ fail (printf "%s.models.oci: give image and reference" $at) }}{{ end }}
{{- if and (eq $models.from "store") (not (and $models.store.image $models.store.source)) }}{{ fail (printf "%s.models.store: give image and source" $at) }}{{ end }}
{{- if and $worker.gpu.enabled (eq $models.from "image") }}{{ fail (printf "%s.models.from: image, and its int8 models are refused on a GPU; give those of training/half.py by volume, oci or store" $at) }}{{ end }}
{{- $_ := set $worker.autoscaling "max" $max }}
{{- dict "files" $files "flow" $flow "worker" $worker | toYaml }}
{{- end }}

{{/* (flow) */}}
{{- define "sluice.group" -}}
{{- .flow.input.group | default (printf "sluice.%s" .flow.name) }}
{{- end }}

{{/* (root, name, worker): tokens that wait. Lag counts messages, and one may be a line or 300 pages: so it is weighed with what a
delivery has cost in the last hour. Deliveries that are not done yet have not shown their tokens and count as none. */}}
{{- define "sluice.backlogTokens" -}}
{{- $of := printf `{namespace="%s",pipeline="%s"}` .root.Release.Namespace .name -}}
sum(sluice_lag_messages{{ $of }})
* (
  sum(increase(sluice_tokens_total{{ $of }}[1h]))
  / ((sum(increase(sluice_deliveries_total{{ $of }}[1h])) - sum(sluice_in_flight_deliveries{{ $of }})) >= 20)
  or vector({{ int64 .worker.autoscaling.tokensPerDelivery }})
)
+ (sum(sluice_in_flight_tokens{{ $of }}) or vector(0))
{{- end }}
