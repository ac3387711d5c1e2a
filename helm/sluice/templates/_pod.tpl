{{/* What the worker and the hook that makes topics have in common. */}}

{{- define "sluice.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "sluice.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* (root): the variables of all commands that speak to the cluster. */}}
{{- define "sluice.env" -}}
{{- with .root.Values }}
- name: SLUICE_BROKERS
  value: {{ .kafka.brokers | quote }}
- name: SLUICE_GROUP_PROTOCOL
  value: {{ .kafka.groupProtocol }}
- name: SLUICE_TRANSACTIONAL_PREFIX
  value: {{ .kafka.transactionalPrefix | default (printf "%s.%s" $.root.Release.Namespace $.root.Release.Name) }}
{{- range $key, $value := .kafka.properties }}
- name: SLUICE_KAFKA_{{ $key | upper | replace "." "_" }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- with .registry.url }}
- name: SLUICE_REGISTRY
  value: {{ . | quote }}
{{- end }}
{{- with .otlp }}
{{- if .endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint | quote }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: {{ .protocol }}
- name: SLUICE_OTLP_SIGNALS
  value: {{ join "," .signals }}
- name: OTEL_TRACES_SAMPLER
  value: parentbased_traceidratio
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ .sampleRatio | quote }}
- name: OTEL_SERVICE_NAME
  value: {{ include "sluice.fullname" $.root }}
{{- end }}
{{- end }}
{{- range $variable, $_ := .secretFiles }}
- name: {{ $variable }}
  value: /run/sluice/secrets/{{ $variable }}
{{- end }}
{{- range $name, $value := .env }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* (root, name, worker). `model: ../../models/NAME` of a pipeline.yaml leads to the models beside the pipelines. */}}
{{- define "sluice.mounts" -}}
- name: pipeline
  mountPath: /opt/sluice/pipelines/{{ .name }}
  readOnly: true
{{- if ne .worker.models.from "image" }}
- name: models
  mountPath: /opt/sluice/models
  readOnly: true
{{- end }}
{{- if .root.Values.secretFiles }}
- name: secrets
  mountPath: /run/sluice/secrets
  readOnly: true
{{- end }}
{{- end }}

{{/* (root, worker, configMap) */}}
{{- define "sluice.volumes" -}}
- name: pipeline
  configMap:
    name: {{ .configMap }}
{{- with .worker.models }}
{{- if eq .from "volume" }}
- name: models
  {{- toYaml .volume | nindent 2 }}
{{- else if ne .from "image" }}
- name: models
  emptyDir:
    sizeLimit: {{ .sizeLimit }}
{{- end }}
{{- end }}
{{- with .root.Values.secretFiles }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range $variable, $from := . }}
      - secret:
          name: {{ $from.secret }}
          items:
            - key: {{ $from.key }}
              path: {{ $variable }}
      {{- end }}
{{- end }}
{{- end }}

{{/* (root, worker): the step that fetches models, if any. */}}
{{- define "sluice.initContainers" -}}
{{- with .worker.models }}
{{- if has .from (list "oci" "store") }}
initContainers:
  - name: models
    {{- if eq .from "oci" }}
    image: {{ .oci.image }}
    args: [pull, {{ .oci.reference | quote }}, --output, /models]
    {{- else }}
    image: {{ .store.image }}
    args: [copy, --config=, {{ .store.source | quote }}, /models]
    {{- end }}
    imagePullPolicy: {{ $.root.Values.image.pullPolicy }}
    {{- with $.root.Values.env }}
    env:
      {{- range $name, $value := . }}
      - name: {{ $name }}
        value: {{ $value | toString | quote }}
      {{- end }}
    {{- end }}
    {{- with $.root.Values.envFrom }}
    envFrom:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    securityContext:
      {{- include "sluice.containerSecurity" $ | nindent 6 }}
    resources:
      requests: { cpu: 100m, memory: 128Mi }
      limits: { cpu: "1", memory: 512Mi }
    volumeMounts:
      - name: models
        mountPath: /models
{{- end }}
{{- end }}
{{- end }}
