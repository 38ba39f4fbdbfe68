{{- define "sallyport.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Not longer than 40, as objects are called after it with a suffix. */}}
{{- define "sallyport.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "sallyport.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "sallyport.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sallyport.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "sallyport.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: sallyport
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* Immutable on the Deployment: nothing that changes with a version. */}}
{{- define "sallyport.selectorLabels" -}}
app.kubernetes.io/name: sallyport-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sallyport.serviceAccountName" -}}
{{- default (include "sallyport.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{/* image: (list $root $image) */}}
{{- define "sallyport.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default $root.Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Where records are archived; empty for nowhere. */}}
{{- define "sallyport.archive" -}}
{{- with .Values.archive -}}
{{- if .s3.bucket -}}
{{- if not .keys -}}
{{- fail "\n\narchive.keys: with archive.s3.bucket, name another place for persons' keys, without Object Lock, for example\n  --set archive.keys=s3://BUCKET/PREFIX\nAn erasure destroys keys, and what is locked cannot be destroyed.\n" -}}
{{- end -}}
{{- printf "s3://%s" .s3.bucket -}}{{- with .s3.prefix -}}{{- printf "/%s" . -}}{{- end -}}
{{- else if .volume.enabled -}}
file:///var/lib/sallyport/archive
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Not empty where the archive is a volume. */}}
{{- define "sallyport.archiveVolume" -}}
{{- if and .Values.archive.volume.enabled (not .Values.archive.s3.bucket) -}}true{{- end -}}
{{- end -}}

{{/* Every namespace in which the operator acts, once each. */}}
{{- define "sallyport.namespaces" -}}
{{- concat .Values.namespaces.regions .Values.namespaces.sites | uniq | sortAlpha | toJson -}}
{{- end -}}

{{/* Where the operator makes gateways. Without one it would have nowhere to work. */}}
{{- define "sallyport.regions" -}}
{{- if not .Values.namespaces.regions -}}
{{- fail "\n\nnamespaces.regions: name at least one namespace in which regions may be, for example\n  --set 'namespaces.regions={dmz-frankfurt}'\n" -}}
{{- end -}}
{{- .Values.namespaces.regions | uniq | sortAlpha | join "," -}}
{{- end -}}
